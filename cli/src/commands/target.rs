//! `wfe target`: tells why something waits on a target.

use wfe_proto::v1::GetTargetRequest;

use super::{answer, answered};
use crate::{
    args::{Global, TargetArgs},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: TargetArgs,
) -> Result<Exit, Error> {
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let message =
        GetTargetRequest { target: args.target, cluster_id: args.cluster.unwrap_or_default() };
    let call = client.get_target(request(message, global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| {
        let target = response.target.clone().unwrap_or_default();
        render::target::sentences(&target, (context.now)(), &global.server.as_option())
    })?;
    Ok(Exit::Ok)
}
