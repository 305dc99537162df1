//! How much fits into a field. The limits of the spec are those of the service's contract: the schema
//! never refuses what the service accepts.

/// Characters of `targetResource`: a namespace of 63, a kind and a name of 253, and two slashes.
pub const MAX_TARGET_CHARS: usize = 63 + 253 + 253 + 2;
/// Two or three parts between slashes, none of them empty or with white space. Whether they are a
/// namespace, a kind and a name is for the service to say.
pub const TARGET_PATTERN: &str = r"^[^/\s]+/[^/\s]+(/[^/\s]+)?$";
/// Characters of names, ids and versions.
pub const MAX_NAME_CHARS: usize = 253;
/// Characters of an OCI reference.
pub const MAX_BUNDLE_CHARS: usize = 512;
/// A SHA-256 digest, or empty, which means none.
pub const DIGEST_PATTERN: &str = "^(sha256:[0-9a-f]{64})?$";
/// Parameters: 256, and `TARGET_RESOURCE`, which may be repeated among them.
pub const MAX_PARAMETERS: usize = 256 + 1;
/// Characters of a parameter's value. The service counts bytes, which are as many or more.
pub const MAX_PARAMETER_CHARS: usize = 32 * 1024;
/// Secrets, and as many ConfigMaps.
pub const MAX_DEPENDENCIES: usize = 32;
/// Characters of a text for people: messages, reasons, summaries.
pub const MAX_TEXT_CHARS: usize = 32 * 1024;
/// The fewest characters of the reason for a clearance.
pub const MIN_CLEAR_REASON_CHARS: usize = 10;
/// The most characters of the reason for a clearance.
pub const MAX_CLEAR_REASON_CHARS: usize = 2_000;
/// The most characters of the reason for a cancel.
pub const MAX_CANCEL_REASON_CHARS: usize = 2_000;
/// The most characters of the reference of a ticket.
pub const MAX_TICKET_CHARS: usize = MAX_NAME_CHARS;
/// Characters of what an authenticator says of a user: name, UID, one group.
pub const MAX_USER_CHARS: usize = 1_024;
/// Groups of a user.
pub const MAX_GROUPS: usize = 1_000;
/// Characters of a seal: 32 bytes as base64 are 44.
pub const MAX_SEAL_CHARS: usize = 64;
