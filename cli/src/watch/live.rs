//! Progress that is drawn anew in place: the execution, its tasks and its steps.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use wfe_proto::{
    apply,
    v1::{Execution, WatchResponse, watch_response::Update},
};

use crate::{context::Colour, render};

/// A block of lines at the end of a terminal.
pub(super) struct Live {
    rows: MultiProgress,
    bars: Vec<ProgressBar>,
    colour: Colour,
    seen: Option<Execution>,
    notice: Option<String>,
}

impl Live {
    pub(super) fn on(target: ProgressDrawTarget, colour: Colour) -> Live {
        Live {
            rows: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            colour,
            seen: None,
            notice: None,
        }
    }

    /// Takes a message in. The connection is there, so a notice about its loss is over.
    pub(super) fn take(&mut self, message: &WatchResponse) {
        self.notice = None;
        match &message.update {
            Some(Update::Snapshot(execution) | Update::Terminal(execution)) => {
                self.seen = Some(execution.clone());
            }
            Some(Update::Event(event)) => {
                if let Some(seen) = &mut self.seen {
                    apply(seen, event);
                }
            }
            Some(Update::Heartbeat(_) | Update::Synced(_) | Update::Decision(_)) | None => {}
        }
    }

    /// Says something about the connection until it is back.
    pub(super) fn notice(&mut self, text: String) {
        self.notice = Some(text);
    }

    /// Draws the block as it is at `now`.
    pub(super) fn draw(&mut self, now: Timestamp) {
        let mut lines = match &self.seen {
            Some(execution) => block(execution, now, self.colour),
            None => Vec::new(),
        };
        lines.extend(self.notice.clone());
        while self.bars.len() < lines.len() {
            let bar = self.rows.add(ProgressBar::no_length());
            bar.set_style(row_style());
            self.bars.push(bar);
        }
        for bar in self.bars.drain(lines.len()..) {
            bar.finish_and_clear();
            self.rows.remove(&bar);
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            // Every message that is set is drawn.
            if bar.message() != line {
                bar.set_message(line);
            }
        }
    }

    /// Leaves the block as it is and goes below it.
    pub(super) fn leave(&mut self) {
        for bar in self.bars.drain(..) {
            bar.abandon();
        }
    }

    /// Takes the block away, so that lasting lines can be written where it was.
    pub(super) fn clear(&mut self) {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
        }
        // Lines that could not be erased stay on the screen; there is no better place to say so.
        let _ = self.rows.clear();
    }
}

/// One line as wide as the terminal allows.
fn row_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The lines of the block: the execution, then its tasks and steps.
pub(super) fn block(execution: &Execution, now: Timestamp, colour: Colour) -> Vec<String> {
    let mut lines = vec![render::execution::headline(execution, now, colour)];
    if let Some(progress) = &execution.progress {
        let tasks = render::progress::lines(progress, now, colour);
        lines.extend(tasks.into_iter().map(|line| format!("  {line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;
    use wfe_proto::v1::{EventType, ExecutionEvent, Progress, State, TaskProgress, TaskState};

    use super::*;

    fn progress(states: &[TaskState]) -> Progress {
        Progress {
            total: 2,
            tasks: states
                .iter()
                .zip(["first", "second"])
                .map(|(state, name)| TaskProgress {
                    name: name.to_owned(),
                    state: (*state).into(),
                    ..TaskProgress::default()
                })
                .collect(),
            ..Progress::default()
        }
    }

    fn snapshot(progress: Option<Progress>) -> WatchResponse {
        WatchResponse {
            update: Some(Update::Snapshot(Execution {
                id: "e-1".to_owned(),
                target: "node/n".to_owned(),
                state: State::Running.into(),
                revision: 3,
                progress,
                ..Execution::default()
            })),
            cursor: 3,
        }
    }

    #[test]
    fn the_block_is_drawn_in_place_and_taken_away() {
        let term = InMemoryTerm::new(20, 80);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
        let mut live = Live::on(target, Colour::Off);
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();

        live.take(&snapshot(Some(progress(&[TaskState::Running, TaskState::Pending]))));
        live.draw(now);
        live.take(&WatchResponse {
            update: Some(Update::Event(ExecutionEvent {
                revision: 4,
                r#type: EventType::Progressed.into(),
                state: State::Running.into(),
                progress: Some(progress(&[TaskState::Succeeded, TaskState::Running])),
                ..ExecutionEvent::default()
            })),
            cursor: 4,
        });
        live.notice("connection lost".to_owned());
        live.draw(now);
        let lines: Vec<String> = term.contents().lines().map(|l| l.trim_end().to_owned()).collect();
        assert_eq!(
            lines,
            [
                "e-1  node/n  RUNNING: 0 of 2 tasks done",
                "  first   SUCCEEDED",
                "  second  RUNNING",
                "connection lost",
            ]
        );

        live.take(&snapshot(None));
        live.draw(now);
        assert_eq!(term.contents().trim_end(), "e-1  node/n  RUNNING: its run exists");

        live.clear();
        assert_eq!(term.contents().trim(), "");
    }
}
