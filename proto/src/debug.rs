//! How a Start is shown: without the values of its parameters, which may be sensitive. Nobody can print or
//! log them by accident, neither a server nor a client.

use std::fmt;

use crate::v1::{StartRequest, start_request::Workflow};

impl fmt::Debug for StartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart in full, so that a new field cannot be forgotten.
        let Self {
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
            when_locked: _,
            when_cooling: _,
            when_blocked: _,
            validate_only,
            on_behalf_of,
            workflow_identity,
            source,
            sensitive_parameters,
            workflow,
        } = self;
        let mut names: Vec<&String> = parameters.keys().collect();
        names.sort();
        f.debug_struct("StartRequest")
            .field("request_id", request_id)
            .field("workflow", workflow)
            .field("target", target)
            .field("cluster_id", cluster_id)
            .field("parameters", &names)
            .field("declared_parameters", declared_parameters)
            .field("service_account", service_account)
            .field("secrets", secrets)
            .field("config_maps", config_maps)
            .field("correlation_id", correlation_id)
            .field("deadline", deadline)
            .field("when_locked", &self.when_locked())
            .field("when_cooling", &self.when_cooling())
            .field("when_blocked", &self.when_blocked())
            .field("validate_only", validate_only)
            .field("on_behalf_of", on_behalf_of)
            .field("workflow_identity", workflow_identity)
            .field("source", source)
            .field("sensitive_parameters", sensitive_parameters)
            .finish()
    }
}

/// What the generator leaves out with its message.
impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(bundle) => bundle.fmt(f),
            Self::Inline(inline) => inline.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_shows_the_names_of_its_parameters_and_no_value() {
        let parameters = [("TOKEN", "hunter2"), ("A", "1234567")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = StartRequest { parameters: parameters.into(), ..StartRequest::default() };
        let shown = format!("{request:?}");
        assert!(shown.contains(r#"parameters: ["A", "TOKEN"]"#), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("1234567"), "{shown}");
    }
}
