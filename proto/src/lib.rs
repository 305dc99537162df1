//! The contract of the execution service: messages, client and server of `kubernaut.execution.v1`.
//!
//! The documentation of every message and field is in `kubernaut/execution/v1/execution.proto`.
//! Nothing here decides; [`apply`] is the one piece of meaning that every client needs, and
//! [`code_name`] the one name.

mod apply;
mod code;
mod debug;

/// `kubernaut.execution.v1`, as generated.
pub mod v1 {
    #![expect(
        clippy::pedantic,
        clippy::allow_attributes,
        reason = "generated from the proto file, which is documented"
    )]
    tonic::include_proto!("kubernaut.execution.v1");
}

pub use apply::apply;
pub use code::code_name;

/// The compiled contract, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Domain of every `google.rpc.ErrorInfo` that the service sends.
pub const ERROR_DOMAIN: &str = "execution.kubernaut.ai";
