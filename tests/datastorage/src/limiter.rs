//! The token bucket of each address.

use std::collections::BTreeMap;

use jiff::Timestamp;

const PER_SECOND: f64 = 50.0;
const BURST: f64 = 100.0;

#[derive(Debug, Default)]
pub(crate) struct Limiter(BTreeMap<String, (f64, Option<Timestamp>)>);

impl Limiter {
    /// Whether one more request of an address is let in.
    pub(crate) fn takes(&mut self, address: &str, now: Timestamp) -> bool {
        let (tokens, last) = self.0.entry(address.to_owned()).or_insert((BURST, None));
        if let Some(last) = last {
            let passed = now.duration_since(*last).as_secs_f64().max(0.0);
            *tokens = (*tokens + passed * PER_SECOND).min(BURST);
        }
        *last = Some(now);
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}
