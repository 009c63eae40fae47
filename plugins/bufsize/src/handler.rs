//! What happens to one query.

use catena_core::message::Request;
use catena_core::plugin::{AtOnce, Plugin};

/// Lowers the announced UDP size.
#[derive(Debug)]
pub(crate) struct Bufsize {
    /// The highest size that passes, in bytes.
    pub(crate) max: u16,
}

impl Plugin for Bufsize {
    fn name(&self) -> &'static str {
        "bufsize"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        if request.edns().is_some_and(|edns| edns.udp_size > self.max) {
            request.set_edns_udp_size(self.max);
        }
        AtOnce::Pass
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::{QueryBuilder, fit};
    use catena_core::plugin::testing::{FIXED, set_up};
    use hickory_proto::op::Message;

    #[tokio::test]
    async fn lowers_and_never_raises() {
        let block = set_up(&[crate::PLUGIN, FIXED], "bufsize 1024\nfixed").unwrap();
        for (asked, dnssec_ok, want) in [
            (4096, true, 1024),
            (1025, false, 1024),
            (1024, false, 1024),
            (1023, true, 1023),
            (100, false, 100),
        ] {
            let query = QueryBuilder::new("a.example.org.", 1_u16)
                .unwrap()
                .edns(asked, dnssec_ok);
            let mut request = query.to_request().unwrap();
            let response = block.reply(&mut request).await;

            let seen = request.edns().unwrap();
            assert_eq!(
                (seen.udp_size, seen.dnssec_ok),
                (want, dnssec_ok),
                "{asked} in the request"
            );
            assert_eq!(request.size_limit(), usize::from(want.max(512)), "{asked}");
            let answer = Message::from_vec(&fit(response, &request)).unwrap();
            assert_eq!(
                answer.edns.unwrap().max_payload(),
                want.max(512),
                "{asked} in the answer"
            );
        }
    }

    #[tokio::test]
    async fn adds_no_edns() {
        let block = set_up(&[crate::PLUGIN, FIXED], "bufsize\nfixed").unwrap();
        let mut request = QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        block.reply(&mut request).await;
        assert_eq!(request.edns(), None);
    }
}
