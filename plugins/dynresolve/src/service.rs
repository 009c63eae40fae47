//! What is known of one service.

use std::net::Ipv4Addr;

/// Most addresses of a service.
pub(crate) const MAX_RECORDS: usize = 64;

/// Longest TTL in seconds (RFC 2181, section 8).
pub(crate) const MAX_TTL: u32 = i32::MAX as u32;

/// The addresses of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// In the order in which they came, each once.
    pub(crate) records: Vec<Ipv4Addr>,
    /// In seconds; nought stands for the instance's TTL.
    pub(crate) ttl: u32,
}

/// There would be more addresses than a service can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {MAX_RECORDS} addresses for a service, got {0}")]
pub(crate) struct TooManyRecords(pub(crate) usize);

impl Service {
    /// Adds addresses, those left aside that are there already; with a `ttl` of nought the TTL stays.
    pub(crate) fn add(&mut self, records: &[Ipv4Addr], ttl: u32) -> Result<(), TooManyRecords> {
        let before = self.records.len();
        for record in records {
            if !self.records.contains(record) {
                self.records.push(*record);
            }
        }
        if self.records.len() > MAX_RECORDS {
            let count = self.records.len();
            self.records.truncate(before);
            return Err(TooManyRecords(count));
        }
        if ttl != 0 {
            self.ttl = ttl;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(range: std::ops::Range<u32>) -> Vec<Ipv4Addr> {
        range.map(|number| Ipv4Addr::from(0x0a00_0000 + number)).collect()
    }

    #[test]
    fn duplicates_are_dropped_and_more_than_64_refused() {
        let mut service = Service::default();
        service.add(&addresses(0..40), 7).unwrap();
        service.add(&addresses(10..64), 0).unwrap();
        assert_eq!((service.records.len(), service.ttl), (64, 7));
        let before = service.clone();
        assert_eq!(service.add(&addresses(64..65), 9), Err(TooManyRecords(65)));
        assert_eq!(service, before);
        service.add(&addresses(0..1), 9).unwrap();
        assert_eq!(service.ttl, 9);
    }
}
