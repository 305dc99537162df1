//! Messages in: checked once, typed from there on. Messages are taken apart in full, so that a new
//! field of the contract cannot be ignored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use wfe_core::{
    audit::Position,
    execution::StateCode,
    ids::{ClusterId, ExecutionId, RequestId, Revision, is_dns_subdomain},
    invalid::{Invalid, Violations},
    parameter::SensitiveNames,
    request::{
        MAX_WORKSPACES, Source, StartRequest, WhenBlocked, WhenCooling, WhenLocked,
        WorkflowIdentity, check_parameters, check_sensitive,
    },
    target::TargetKey,
};
use wfe_proto::v1::{self, get_request, watch_request};

use super::page;
use crate::{
    error::ServiceError,
    service::Mode,
    store::{Filter, LogScope, Page, Sequence},
    vault::Vault,
};

mod cancel;
mod clear_block;
mod export_log;
mod on_behalf_of;
mod parameters;
mod workflow;

pub(super) use cancel::cancel;
pub(super) use clear_block::{ClearBlock, clear_block};
pub(super) use export_log::export_log;
pub(super) use on_behalf_of::on_behalf_of;
use parameters::Sensitive;

/// A Start. Sensitive values leave here sealed; `patterns` name them beside what the caller marks.
pub(super) fn start(
    message: v1::StartRequest,
    vault: &Vault,
    patterns: &SensitiveNames,
) -> Result<(StartRequest, Mode), ServiceError> {
    let v1::StartRequest {
        request_id,
        target,
        cluster_id,
        parameters,
        declared_parameters,
        service_account,
        secrets,
        config_maps,
        correlation_id,
        deadline,
        when_locked,
        when_cooling,
        when_blocked,
        validate_only,
        // Who calls, and for whom, is no part of what is asked for.
        on_behalf_of: _,
        workflow_identity,
        source,
        sensitive_parameters,
        workflow,
    } = message;
    let mut wrong = Violations(Vec::new());
    let request_id = wrong.take("request_id", request_id.parse::<RequestId>());
    let workflow = workflow::workflow(&mut wrong, workflow);
    let key = take_target_key(&mut wrong, &target, &cluster_id);
    let parameters: BTreeMap<String, String> = parameters.into_iter().collect();
    let marked = take_all(&mut wrong, check_sensitive(sensitive_parameters, &parameters));
    let parameters = take_all(&mut wrong, check_parameters(parameters, &target));
    let service_account = wrong.take("service_account", optional(service_account, dns_name));
    let secrets = names(&mut wrong, "secrets", secrets);
    let config_maps = names(&mut wrong, "config_maps", config_maps);
    let declared = declared_parameters.map(|message| BTreeSet::from_iter(message.names));
    if let Some(parameters) = &parameters {
        let workspaces = (secrets.as_slice(), config_maps.as_slice());
        let (workflow, declared) = (workflow.as_ref(), declared.as_ref());
        workflow::check_use(&mut wrong, workflow, parameters, declared, workspaces);
    }
    let correlation_id =
        wrong.take("correlation_id", optional(correlation_id, |text| text.parse()));
    let deadline = wrong.take("deadline", deadline.map(|time| timestamp(&time)).transpose());
    let when_locked = wrong.take("when_locked", locked(when_locked));
    let at_cooldown = wrong.take("when_cooling", cooling(when_cooling));
    let at_block = wrong.take("when_blocked", blocked(when_blocked));
    let identity = take_identity(&mut wrong, workflow_identity.unwrap_or_default());
    let source = take_source(&mut wrong, source);
    wrong.into_result(())?;
    let incomplete = || Violations::one("", "is not complete");
    let request_id = request_id.ok_or_else(incomplete)?;
    let names = Sensitive { marked: marked.ok_or_else(incomplete)?, patterns };
    let parameters = parameters.ok_or_else(incomplete)?;
    let parameters = parameters::seal(parameters, &request_id, &names, vault)?;
    let mode = if validate_only { Mode::ValidateOnly } else { Mode::Store };
    let complete = || {
        Some(StartRequest {
            request_id,
            workflow: workflow?,
            target: key?,
            target_as_given: target,
            parameters,
            declared,
            service_account: service_account?,
            secrets,
            config_maps,
            correlation_id: correlation_id?,
            deadline: deadline?,
            when_locked: when_locked?,
            when_cooling: at_cooldown?,
            when_blocked: at_block?,
            identity,
            source,
        })
    };
    let request = complete().ok_or_else(incomplete)?;
    Ok((request, mode))
}

fn take_all<T>(wrong: &mut Violations, checked: Result<T, Violations>) -> Option<T> {
    match checked {
        Ok(value) => Some(value),
        Err(Violations(violations)) => {
            wrong.0.extend(violations);
            None
        }
    }
}

fn take_target_key(wrong: &mut Violations, target: &str, cluster: &str) -> Option<TargetKey> {
    let target = wrong.take("target", target.parse());
    let cluster = wrong.take("cluster_id", cluster.parse::<ClusterId>());
    Some(TargetKey { cluster: cluster?, target: target? })
}

/// A target in a cluster.
pub(super) fn target_key(target: &str, cluster: &str) -> Result<TargetKey, ServiceError> {
    let mut wrong = Violations(Vec::new());
    let key = take_target_key(&mut wrong, target, cluster);
    key.ok_or_else(|| wrong.into())
}

fn locked(value: i32) -> Result<WhenLocked, Invalid> {
    Ok(match known::<v1::WhenLocked>(value)? {
        v1::WhenLocked::Unspecified | v1::WhenLocked::Reject => WhenLocked::Reject,
        v1::WhenLocked::Wait => WhenLocked::Wait,
        v1::WhenLocked::Attach => WhenLocked::Attach,
    })
}

fn cooling(value: i32) -> Result<WhenCooling, Invalid> {
    Ok(match known::<v1::WhenCooling>(value)? {
        v1::WhenCooling::Unspecified | v1::WhenCooling::Reject => WhenCooling::Reject,
        v1::WhenCooling::Wait => WhenCooling::Wait,
    })
}

fn blocked(value: i32) -> Result<WhenBlocked, Invalid> {
    Ok(match known::<v1::WhenBlocked>(value)? {
        v1::WhenBlocked::Unspecified | v1::WhenBlocked::Reject => WhenBlocked::Reject,
        v1::WhenBlocked::Wait => WhenBlocked::Wait,
    })
}

fn known<T: TryFrom<i32>>(value: i32) -> Result<T, Invalid> {
    T::try_from(value).map_err(|_| Invalid::new(format!("has no value {value}")))
}

fn optional<T>(
    text: String,
    parse: impl FnOnce(String) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn dns_name(text: String) -> Result<String, Invalid> {
    if is_dns_subdomain(&text) {
        return Ok(text);
    }
    Err(Invalid::new("must be a DNS subdomain: at most 253 characters of a-z 0-9 - and ."))
}

fn names(wrong: &mut Violations, field: &str, names: Vec<String>) -> Vec<String> {
    if names.len() > MAX_WORKSPACES {
        wrong.0.push(Invalid::new("must have at most 32 entries").at(field));
    }
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let checked = dns_name(name.clone()).and_then(|name| {
            if seen.insert(name) { Ok(()) } else { Err(Invalid::new("is there twice")) }
        });
        wrong.take(format!("{field}[{index}]"), checked);
    }
    names
}

fn take_identity(wrong: &mut Violations, message: v1::WorkflowIdentity) -> WorkflowIdentity {
    let v1::WorkflowIdentity { id, name, version } = message;
    for (field, text) in [("id", &id), ("name", &name), ("version", &version)] {
        wrong.take(format!("workflow_identity.{field}"), short(text));
    }
    WorkflowIdentity { id, name, version }
}

fn take_source(wrong: &mut Violations, message: Option<v1::Source>) -> Option<Source> {
    let v1::Source { namespace, name, uid } = message?;
    for (field, text) in [("namespace", &namespace), ("name", &name), ("uid", &uid)] {
        wrong.take(format!("source.{field}"), short(text));
    }
    Some(Source { namespace, name, uid })
}

fn short(text: &str) -> Result<(), Invalid> {
    if text.len() <= 253 && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Invalid::new("must have at most 253 characters, none of them a control character"))
}

fn timestamp(time: &prost_types::Timestamp) -> Result<Timestamp, Invalid> {
    let wrong = || Invalid::new("must be a valid time between the years 1 and 9999");
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong());
    }
    let time = Timestamp::new(time.seconds, time.nanos).map_err(|_| wrong())?;
    // Stores keep microseconds; a repetition must compare equal.
    Timestamp::from_microsecond(time.as_microsecond()).map_err(|_| wrong())
}

fn execution_id(field: &str, text: &str) -> Result<ExecutionId, ServiceError> {
    text.parse().map_err(|invalid: Invalid| Violations(vec![invalid.at(field)]).into())
}

/// A Watch of one execution.
pub(super) fn watch(message: v1::WatchRequest) -> Result<Watch, ServiceError> {
    let v1::WatchRequest { scope, after } = message;
    let negative = || Violations::one("after", "must not be negative; 0 is the whole history");
    let after = after.map(|after| u64::try_from(after).map_err(|_| negative())).transpose();
    let log = |scope, after: Option<u64>| Watch::Log { scope, after: after.map(Position) };
    Ok(match scope {
        Some(watch_request::Scope::ExecutionId(id)) => {
            let id = execution_id("execution_id", &id)?;
            Watch::Execution { id, after: after?.map(Revision) }
        }
        Some(watch_request::Scope::Target(v1::TargetRef { target, cluster_id })) => {
            log(LogScope::Target(target_key(&target, &cluster_id)?), after?)
        }
        Some(watch_request::Scope::CorrelationId(id)) => {
            let id = id.parse().map_err(|invalid: Invalid| {
                ServiceError::from(Violations(vec![invalid.at("correlation_id")]))
            })?;
            log(LogScope::Correlation(id), after?)
        }
        Some(watch_request::Scope::Everything(v1::Everything {})) => {
            log(LogScope::Everything, after?)
        }
        None => {
            let rule = "is required: give execution_id, target, correlation_id or everything";
            return Err(Violations::one("scope", rule).into());
        }
    })
}

/// A Watch.
pub(super) enum Watch {
    /// Of one execution.
    Execution {
        /// Which.
        id: ExecutionId,
        /// After this revision.
        after: Option<Revision>,
    },
    /// Of what the log tells.
    Log {
        /// About what.
        scope: LogScope,
        /// After this place.
        after: Option<Position>,
    },
}

/// Which execution is meant.
pub(super) enum Key {
    /// By its id.
    Execution(ExecutionId),
    /// By a request.
    Request(RequestId),
}

/// A Get.
pub(super) fn get(message: v1::GetRequest) -> Result<Key, ServiceError> {
    let v1::GetRequest { key } = message;
    match key {
        Some(get_request::Key::ExecutionId(id)) => {
            Ok(Key::Execution(execution_id("execution_id", &id)?))
        }
        Some(get_request::Key::RequestId(id)) => id
            .parse()
            .map(Key::Request)
            .map_err(|invalid: Invalid| Violations(vec![invalid.at("request_id")]).into()),
        None => Err(Violations::one("key", "is required: give execution_id or request_id").into()),
    }
}

/// A List.
pub(super) fn list(message: v1::ListRequest) -> Result<(Filter, Page), ServiceError> {
    let v1::ListRequest { page_size, page_token, states, target, cluster_id, correlation_id } =
        message;
    let mut wrong = Violations(Vec::new());
    let mut filter = Filter::default();
    for (index, value) in states.into_iter().enumerate() {
        filter.states.extend(wrong.take(format!("states[{index}]"), state(value)));
    }
    filter.states.sort_unstable();
    filter.states.dedup();
    if !target.is_empty() {
        filter.target = take_target_key(&mut wrong, &target, &cluster_id);
    } else if !cluster_id.is_empty() {
        wrong.0.push(Invalid::new("is only possible together with target").at("cluster_id"));
    }
    filter.correlation_id =
        wrong.take("correlation_id", optional(correlation_id, |text| text.parse())).flatten();
    let limit = wrong.take("page_size", page_limit(page_size, 50, 500));
    let before = wrong.take("page_token", page::decode(&question(&filter), &page_token)).flatten();
    wrong.into_result(())?;
    Ok((filter, Page { before: before.map(Sequence), limit: limit.unwrap_or(50) }))
}

/// What a list asks, as a text that page tokens are bound to.
pub(super) fn question(filter: &Filter) -> String {
    let Filter { states, target, correlation_id } = filter;
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let target = target.as_ref().map(ToString::to_string);
    let correlation_id = correlation_id.as_ref().map(ToString::to_string);
    format!("list {states:?} {target:?} {correlation_id:?}")
}

fn state(value: i32) -> Result<StateCode, Invalid> {
    match known::<v1::State>(value)? {
        v1::State::Unspecified => Err(Invalid::new("must be a state")),
        v1::State::Waiting => Ok(StateCode::Waiting),
        v1::State::Starting => Ok(StateCode::Starting),
        v1::State::Running => Ok(StateCode::Running),
        v1::State::Cancelling => Ok(StateCode::Cancelling),
        v1::State::Succeeded => Ok(StateCode::Succeeded),
        v1::State::Failed => Ok(StateCode::Failed),
        v1::State::Cancelled => Ok(StateCode::Cancelled),
    }
}

fn page_limit(size: i32, default: u32, most: u32) -> Result<u32, Invalid> {
    match u32::try_from(size) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(most)),
        Err(_) => Err(Invalid::new("must not be negative")),
    }
}

/// A ListEvents.
pub(super) fn list_events(
    message: v1::ListEventsRequest,
) -> Result<(ExecutionId, Revision, u32), ServiceError> {
    let v1::ListEventsRequest { execution_id: id, page_size, page_token } = message;
    let mut wrong = Violations(Vec::new());
    let id = wrong.take("execution_id", id.parse::<ExecutionId>());
    let limit = wrong.take("page_size", page_limit(page_size, 100, 1000));
    let question = id.map(|id| format!("events {id}")).unwrap_or_default();
    let after = wrong.take("page_token", page::decode(&question, &page_token)).flatten();
    match (id, limit) {
        (Some(id), Some(limit)) if wrong.0.is_empty() => Ok((
            id,
            Revision(after.and_then(|after| u64::try_from(after).ok()).unwrap_or(0)),
            limit,
        )),
        _ => Err(wrong.into()),
    }
}
