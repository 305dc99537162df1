//! Who may call the server: real `TokenReview`s and `SubjectAccessReview`s, real TLS.

mod rights;
mod support;
mod tls;
mod tokens;
