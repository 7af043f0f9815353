//! How often a static member that nobody else can be comes back when it is fenced.

use std::time::Duration;

use anabranch_host::Instant;

/// So many times in a row; then somebody else is under its name after all.
const MOST: u32 = 5;

/// How often a member was fenced lately.
#[derive(Debug, Default)]
pub(super) struct Fences {
    count: u32,
    /// Fenced later than this, it counts anew.
    recent_until: Instant,
}

impl Fences {
    /// It is fenced. Whether it may come back.
    pub(super) fn may_come_back(&mut self, now: Instant, session_timeout: Duration) -> bool {
        if now > self.recent_until {
            self.count = 0;
        }
        self.count += 1;
        self.recent_until = now + session_timeout;
        self.count <= MOST
    }
}
