//! Shows a watch of more than one execution: a line for each message, or JSON.

use std::{collections::HashMap, pin::pin, time::Duration};

use futures::{Stream, StreamExt as _};
use tokio::time::timeout;
use wfe_proto::v1::{GetRequest, State, WatchResponse, get_request, watch_response};

use super::follow::Update;
use crate::{
    args::Output,
    client::Client,
    context::Context,
    error::Error,
    json,
    render::{self, event::Whose},
};

/// The target of an execution is asked for so long; a line without it is better than none.
const ASK: Duration = Duration::from_secs(5);

/// Shows `updates` until Ctrl-C. Answers the place in the log where to resume.
pub(crate) async fn show_log(
    context: &mut Context,
    output: Output,
    client: Client,
    updates: impl Stream<Item = Result<Update, Error>>,
) -> Result<Option<i64>, Error> {
    let mut updates = pin!(updates);
    let mut targets = Targets { client, known: HashMap::new() };
    let interrupt = context.interrupt.clone();
    let (mut after, mut lost) = (None, false);
    loop {
        let update = tokio::select! {
            () = interrupt.cancelled() => return Ok(after),
            update = updates.next() => update,
        };
        match update {
            Some(Ok(Update::Message(message))) => {
                lost = false;
                if message.cursor > 0 {
                    after = Some(message.cursor);
                }
                let said = match output {
                    Output::Json => Some(json::line(&json::to_value(&*message)?)),
                    Output::Text => targets.line(context, &message).await,
                };
                said.map_or(Ok(()), |said| context.say(&said))?;
            }
            Some(Ok(Update::Lost { status, after, pause })) => {
                if !lost {
                    let resumes = after.map_or_else(
                        || "beginning again".to_owned(),
                        |place| format!("resuming after {place}"),
                    );
                    let why = render::plain(status.message());
                    let pause = render::time::span(pause);
                    context.note(&format!("connection lost ({why}); {resumes} in {pause}"));
                }
                lost = true;
            }
            Some(Err(error)) => return Err(error),
            None => return Ok(after),
        }
    }
}

/// The targets of executions, which their events do not tell.
struct Targets {
    client: Client,
    known: HashMap<String, String>,
}

impl Targets {
    /// A message as a line. None for what is not worth one.
    async fn line(&mut self, context: &Context, message: &WatchResponse) -> Option<String> {
        let colour = context.colour;
        match message.update.as_ref()? {
            watch_response::Update::Snapshot(execution) => {
                self.known.insert(execution.id.clone(), execution.target.clone());
                let whose = Whose { id: &execution.id, target: &execution.target };
                let line = render::event::snapshot_line(execution, (context.now)(), colour);
                Some(whose.before(&format!("{line} ({})", execution.id)))
            }
            watch_response::Update::Event(event) => {
                let id = &event.execution_id;
                let target = self.of(id).await;
                if matches!(event.state(), State::Succeeded | State::Failed | State::Cancelled) {
                    self.known.remove(id);
                }
                let line = render::event::line(event, colour);
                let line = if event.revision == 1 { format!("{line} ({id})") } else { line };
                Some(Whose { id, target: &target }.before(&line))
            }
            watch_response::Update::Decision(decision) => {
                let whose = Whose { id: &decision.execution_id, target: &decision.target };
                Some(whose.before(&render::event::decision_line(decision)))
            }
            watch_response::Update::Heartbeat(_)
            | watch_response::Update::Synced(_)
            | watch_response::Update::Terminal(_) => None,
        }
    }

    async fn of(&mut self, id: &str) -> String {
        if let Some(target) = self.known.get(id) {
            return target.clone();
        }
        let request = GetRequest { key: Some(get_request::Key::ExecutionId(id.to_owned())) };
        let answer = timeout(ASK, self.client.get(request)).await;
        let execution = answer.ok().and_then(Result::ok).and_then(|got| got.into_inner().execution);
        let Some(execution) = execution else { return "-".to_owned() };
        self.known.insert(id.to_owned(), execution.target.clone());
        execution.target
    }
}
