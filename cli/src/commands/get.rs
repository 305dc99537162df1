//! `wfe get`: shows one execution.

use wfe_proto::v1::{GetRequest, get_request::Key};

use super::{answer, answered};
use crate::{
    args::{GetArgs, Global},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: GetArgs,
) -> Result<Exit, Error> {
    let key = match args {
        GetArgs { id: Some(id), .. } => Key::ExecutionId(id),
        GetArgs { request_id: Some(id), .. } => Key::RequestId(id),
        // The parser asks for one of the two.
        GetArgs { .. } => return Err(Error::Usage("neither an id nor --request-id".to_owned())),
    };
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let call = client.get(request(GetRequest { key: Some(key) }, global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| {
        let execution = response.execution.clone().unwrap_or_default();
        let server = global.server.as_option();
        render::execution::describe(&execution, (context.now)(), &server, context.colour)
    })?;
    Ok(Exit::Ok)
}
