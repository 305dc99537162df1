//! Who stands at the door, and what they are let see.
//!
//! A caller without the right in the whole cluster cannot tell what is hidden from what does not exist:
//! both get the same answer.

use tonic::{
    Request,
    metadata::MetadataValue,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use wfe_core::{
    access::{Method, Scope},
    actor::Actor,
    execution::Execution,
    ids::ExecutionId,
    target::TargetKey,
};
use wfe_runtime::tls::Facts;

use super::{Door, from_proto::Key};
use crate::{
    auth::{Access, AccessError, Authorization, Shown, Subject, Unauthenticated, Verdict},
    error::ServiceError,
    service::Service,
    store::{Filter, Listed, Page, Sequence},
};

/// At most this many executions are looked at for one page. A page may then hold fewer than were asked
/// for, and the next one goes on behind them.
const MAX_LOOKED_AT: u32 = 20_000;

/// So many are read at once where some may be hidden.
const CHUNK: u32 = 500;

/// Where a call comes from, and what it shows of its caller.
struct Caller {
    address: Option<String>,
    shown: Result<Shown, Unauthenticated>,
}

fn caller<T>(request: &Request<T>) -> Caller {
    let extensions = request.extensions();
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
    let tcp = extensions.get::<TcpConnectInfo>().or(tls.map(TlsConnectInfo::get_ref));
    let address = tcp.and_then(TcpConnectInfo::remote_addr);
    let certificates = tls.and_then(TlsConnectInfo::peer_certs);
    let certificate = certificates.as_ref().and_then(|certificates| certificates.first());
    let certificate = certificate.map(Facts::of).transpose().map_err(|error| {
        tracing::debug!(%error, "a client certificate cannot be read");
        Unauthenticated::CertificateWithoutName
    });
    let values = request.metadata().get_all("authorization");
    let authorization = Authorization::parse(values.iter().map(MetadataValue::as_encoded_bytes));
    let address = address.map(|address| address.ip().to_string());
    let shown = certificate.map(|certificate| Shown {
        address: address.clone(),
        certificate,
        authorization,
    });
    Caller { address, shown }
}

/// Counts a denial, writes it into the log and puts it on record; anything else is nothing to tell here.
pub(super) async fn tell_denial(service: &Service, method: Method, error: &ServiceError) {
    let ServiceError::Access(denial) = error else { return };
    service.metrics().denied(method, denial.code());
    let (call, code) = (method.as_str(), denial.code().as_str());
    match denial {
        AccessError::Denied { actor, .. } | AccessError::NotTrusted { actor } => {
            tracing::info!(call, code, address = actor.address, "denied: {denial}");
            Box::pin(service.denied(method, denial, actor)).await;
        }
        // Told where the address is known, and where it becomes a status.
        AccessError::Unauthenticated(_) | AccessError::Unavailable(_) => {}
    }
}

/// The same of somebody who is not let in, when it is known from where.
pub(super) async fn tell_stranger(
    service: &Service,
    method: Method,
    denial: &AccessError,
    address: Option<String>,
) {
    if let AccessError::Unauthenticated(problem) = denial {
        tracing::info!(address, "not let in: {problem}");
        Box::pin(service.denied(method, denial, &Actor::unknown(address))).await;
    }
}

impl Door {
    /// Who calls.
    pub(super) async fn admit<T>(
        &self,
        method: Method,
        request: &Request<T>,
    ) -> Result<Access, ServiceError> {
        let Caller { address, shown } = caller(request);
        let admitted = match shown {
            Ok(shown) => Box::pin(self.guard.admit(shown)).await,
            Err(unreadable) => Err(unreadable.into()),
        };
        if let Err(denial) = &admitted {
            tell_stranger(&self.service, method, denial, address).await;
        }
        Ok(admitted?)
    }

    /// Refuses a call about a target that the caller may not make.
    pub(super) async fn require(
        &self,
        access: &Access,
        method: Method,
        key: &TargetKey,
    ) -> Result<(), ServiceError> {
        let scope = Scope::of_target(&key.target);
        let subject = Subject::Target(Box::new(key.clone()));
        Ok(access.require(method.verb(), scope, subject).await?)
    }

    /// An execution that the caller may see, or make the call about.
    pub(super) async fn seen(
        &self,
        access: &Access,
        method: Method,
        key: &Key,
    ) -> Result<Execution, ServiceError> {
        let (found, subject) = match key {
            Key::Execution(id) => (self.service.get(*id).await, Subject::Execution(*id)),
            Key::Request(id) => {
                (self.service.get_by_request(id).await, Subject::Request(id.clone()))
            }
        };
        let verb = method.verb();
        let verdict = match &found {
            Ok(execution) => access.may(verb, execution).await?,
            Err(ServiceError::NotFound { .. }) => access.everywhere(verb).await?,
            Err(_) => return found,
        };
        match verdict {
            Verdict::Allowed => found,
            Verdict::Denied => Err(access.denied(verb, subject).into()),
        }
    }

    /// Refuses a call about an execution that the caller may not make. Reads it only where that is
    /// needed to decide.
    pub(super) async fn allowed(
        &self,
        access: &Access,
        method: Method,
        key: &Key,
    ) -> Result<(), ServiceError> {
        if access.everywhere(method.verb()).await? == Verdict::Allowed {
            return Ok(());
        }
        self.seen(access, method, key).await.map(|_| ())
    }

    /// A page of what the caller may see, and where the next page begins when there may be one.
    pub(super) async fn page(
        &self,
        access: &Access,
        filter: &Filter,
        page: Page,
    ) -> Result<(Vec<Listed>, Option<Sequence>), ServiceError> {
        let verb = Method::List.verb();
        let everything = access.everywhere(verb).await? == Verdict::Allowed;
        let wanted = page.limit as usize;
        let chunk = if everything { page.limit } else { CHUNK.max(page.limit) };
        let (mut shown, mut before, mut looked_at) = (Vec::new(), page.before, 0);
        loop {
            let listed = self.service.list(filter, Page { before, limit: chunk }).await?;
            let last = (listed.len() as u64) < u64::from(chunk);
            for entry in listed {
                before = Some(entry.sequence);
                looked_at += 1;
                if everything || access.may(verb, &entry.execution).await? == Verdict::Allowed {
                    shown.push(entry);
                }
                if shown.len() >= wanted {
                    return Ok((shown, before));
                }
            }
            if last {
                return Ok((shown, None));
            }
            if looked_at >= MAX_LOOKED_AT {
                return Ok((shown, before));
            }
        }
    }
}

impl From<ExecutionId> for Key {
    fn from(id: ExecutionId) -> Self {
        Self::Execution(id)
    }
}
