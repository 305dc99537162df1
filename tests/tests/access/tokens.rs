//! Which tokens are good.

use anyhow::Result;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::DeleteParams;
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1;
use wfe_runtime::grpc::Bearer;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Namespace};

use crate::support::Guarded;

/// The audience of the API server itself.
const API_SERVER: &str = "https://kubernetes.default.svc";

#[tokio::test]
async fn only_a_token_that_is_good_and_for_the_server_is_accepted() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let guarded = Guarded::start(&plane, namespace).await?;
        let alice = guarded.account("alice").await?;
        let good = alice.token_for(&plane, &["wfe"]).await?;
        let list = async |bearer: Bearer| {
            let mut client = guarded.client(bearer)?;
            anyhow::Ok(client.list(v1::ListRequest::default()).await)
        };
        list(Bearer::text(&good)?).await??;
        list(Bearer::text(&alice.token_for(&plane, &["other", "wfe"]).await?)?).await??;

        // Tokens that say nothing of audiences are for those of the API server, of which the server's is one here.
        list(Bearer::text(&plane.token("alice")?)?).await??;

        let mut tampered = good.clone();
        tampered.replace_range(good.len() - 8.., "AAAAAAAA");
        for (what, token) in [
            ("for the API server", alice.token_for(&plane, &[API_SERVER]).await?),
            ("for somebody else", alice.token_for(&plane, &["other"]).await?),
            ("tampered with", tampered),
            ("made up", "made-up".to_owned()),
        ] {
            let Err(status) = list(Bearer::text(&token)?).await? else {
                anyhow::bail!("a token {what} was accepted")
            };
            assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status}");
            let info = status.get_details_error_info().expect("an ErrorInfo");
            assert_eq!(info.reason, "UNAUTHENTICATED", "{what}");
        }
        let Err(status) = list(Bearer::nothing()).await? else {
            anyhow::bail!("nothing was accepted")
        };
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");

        // A token of an account that is gone.
        let (client, name) = (namespace.client().clone(), namespace.name());
        let accounts = Api::<ServiceAccount>::namespaced(client, name);
        accounts.delete("alice", &DeleteParams::default()).await?;
        eventually(PATIENCE, "the token is no longer good", async || {
            let bearer = Bearer::text(&good).map_err(|error| error.to_string())?;
            match list(bearer).await {
                Ok(Err(status)) if status.code() == Code::Unauthenticated => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        let log = guarded.server.log()?;
        assert!(!log.contains(&good) && !log.contains("made-up"), "a token is in the log");
        Ok(())
    })
    .await
}
