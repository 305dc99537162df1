//! Exit codes: the part of the tool's answer that scripts read.

use std::process::ExitCode;

use tonic::Code;
use wfe_proto::v1::State;

/// How the process ends. The numbers are part of the tool's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command did what was asked; an execution that was followed succeeded.
    Ok,
    /// An execution that was followed failed, an export is not sound, or `wfe demo` did not show what
    /// it says.
    Failed,
    /// The command line or the request is wrong; repeating it unchanged cannot help.
    Usage,
    /// An execution that was followed was cancelled.
    Cancelled,
    /// A gate of the target is closed, for example another execution holds it.
    Refused,
    /// There is no such execution.
    NotFound,
    /// The server cannot be reached, or anything else went wrong.
    Unavailable,
    /// The reader of the output went away, as when a shell reports SIGPIPE.
    BrokenPipe,
    /// Ctrl-C, as when a shell reports SIGINT.
    Interrupted,
}

impl Exit {
    /// Every way to end, by its number.
    pub const ALL: [Exit; 9] = [
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::Cancelled,
        Exit::Refused,
        Exit::NotFound,
        Exit::Unavailable,
        Exit::Interrupted,
        Exit::BrokenPipe,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Cancelled => 3,
            Exit::Refused => 4,
            Exit::NotFound => 5,
            Exit::Unavailable => 6,
            Exit::Interrupted => 130,
            Exit::BrokenPipe => 141,
        }
    }

    /// What the number means, for the help text.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done; a followed execution SUCCEEDED",
            Exit::Failed => {
                "a followed execution FAILED (watch, start --wait); an export is not sound (audit)"
            }
            Exit::Usage => "wrong command line, file or request (INVALID_ARGUMENT and the like)",
            Exit::Cancelled => "a followed execution was CANCELLED (watch, start --wait)",
            Exit::Refused => "refused: a gate of the target is closed (TARGET_LOCKED and the like)",
            Exit::NotFound => "no such execution",
            Exit::Unavailable => "the server cannot be reached, or another error",
            Exit::Interrupted => "Ctrl-C",
            Exit::BrokenPipe => "the reader of the output went away",
        }
    }

    /// The end of a command that the server answered with `code`.
    #[must_use]
    pub fn of_code(code: Code) -> Exit {
        match code {
            Code::Ok => Exit::Ok,
            Code::InvalidArgument | Code::OutOfRange | Code::AlreadyExists => Exit::Usage,
            Code::Aborted | Code::FailedPrecondition => Exit::Refused,
            Code::NotFound => Exit::NotFound,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Exit::Unavailable,
        }
    }

    /// The end of a command that followed an execution to `state`.
    #[must_use]
    pub fn of_state(state: State) -> Exit {
        match state {
            State::Succeeded => Exit::Ok,
            State::Failed => Exit::Failed,
            State::Cancelled => Exit::Cancelled,
            State::Unspecified
            | State::Waiting
            | State::Starting
            | State::Running
            | State::Cancelling => Exit::Unavailable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_code_has_the_documented_exit_code() {
        let table: Vec<(Code, u8)> =
            (0..17).map(Code::from_i32).map(|code| (code, Exit::of_code(code).code())).collect();
        assert_eq!(
            table,
            [
                (Code::Ok, 0),
                (Code::Cancelled, 6),
                (Code::Unknown, 6),
                (Code::InvalidArgument, 2),
                (Code::DeadlineExceeded, 6),
                (Code::NotFound, 5),
                (Code::AlreadyExists, 2),
                (Code::PermissionDenied, 6),
                (Code::ResourceExhausted, 6),
                (Code::FailedPrecondition, 4),
                (Code::Aborted, 4),
                (Code::OutOfRange, 2),
                (Code::Unimplemented, 6),
                (Code::Internal, 6),
                (Code::Unavailable, 6),
                (Code::DataLoss, 6),
                (Code::Unauthenticated, 6),
            ]
        );
    }

    #[test]
    fn terminal_states_have_exit_codes_of_their_own() {
        assert_eq!(Exit::of_state(State::Succeeded).code(), 0);
        assert_eq!(Exit::of_state(State::Failed).code(), 1);
        assert_eq!(Exit::of_state(State::Cancelled).code(), 3);
        assert_eq!(Exit::of_state(State::Running), Exit::Unavailable);
    }

    #[test]
    fn no_two_ends_share_a_number_and_they_are_told_in_order() {
        let codes = Exit::ALL.map(Exit::code);
        assert!(codes.is_sorted_by(|one, next| one < next), "{codes:?}");
    }
}
