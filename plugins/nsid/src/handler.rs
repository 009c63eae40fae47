//! What happens to one query.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::edns::NSID;
use catena_core::message::{Request, Response};
use catena_core::plugin::{AtOnce, MessageSource, Next, Outcome, Plugin, PluginError, TransferStream};

/// Names the server to clients that ask for it.
#[derive(Debug)]
pub(crate) struct Nsid {
    /// The identifier.
    pub(crate) data: Arc<[u8]>,
}

#[async_trait]
impl Plugin for Nsid {
    fn name(&self) -> &'static str {
        "nsid"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        match asked(request) {
            Some(_) => AtOnce::Wait,
            None => AtOnce::Pass,
        }
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let Some(size) = asked(request) else {
            return next.run(request).await;
        };
        Ok(match next.run(request).await? {
            Outcome::Reply(mut response) => {
                name(&mut response, size, &self.data);
                response.into()
            }
            Outcome::Transfer(stream) => {
                let data = Arc::clone(&self.data);
                Outcome::Transfer(TransferStream::new(Named { stream, size, data }))
            }
            other => other,
        })
    }
}

/// The client's UDP size, if it asks for the identifier.
fn asked(request: &Request) -> Option<u16> {
    let edns = request.edns()?;
    request.edns_option(NSID).map(|_| edns.udp_size)
}

/// An answer without EDNS of its own gets it, with DO, as CoreDNS gives it.
fn name(response: &mut Response, size: u16, data: &[u8]) {
    response.set_opt(size, true);
    response.set_option(NSID, data);
}

/// A transfer whose messages all name the server.
struct Named {
    stream: TransferStream,
    size: u16,
    data: Arc<[u8]>,
}

#[async_trait]
impl MessageSource for Named {
    async fn next(&mut self) -> Option<Result<Response, PluginError>> {
        let message = self.stream.next().await?;
        Some(message.map(|mut response| {
            name(&mut response, self.size, &self.data);
            response
        }))
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::edns::{COOKIE, EXTENDED_ERROR};
    use catena_core::message::{QueryBuilder, Rcode, fit};
    use catena_core::plugin::testing::{FIXED, set_up};
    use catena_core::plugin::{Definition, host_name};

    use super::*;

    fn query() -> QueryBuilder {
        QueryBuilder::new("a.example.org.", 1_u16).unwrap()
    }

    /// What the client sees: size, DO and options.
    async fn ask(
        definitions: &[Definition],
        text: &str,
        query: &QueryBuilder,
    ) -> Option<(u16, bool, Vec<(u16, String)>)> {
        let mut request = query.to_request().unwrap();
        let response = set_up(definitions, text).unwrap().reply(&mut request).await;
        let answer = Response::from_wire(fit(response, &request)).unwrap();
        let edns = answer.edns()?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let options = answer
            .edns_options()
            .map(|(code, value)| (code, text(value)))
            .collect();
        Some((edns.udp_size, edns.dnssec_ok, options))
    }

    #[tokio::test]
    async fn only_who_asks_is_told() {
        let plugins = [crate::PLUGIN, FIXED];
        let text = "nsid Use The Force\nfixed";
        let force = || vec![(NSID, "Use The Force".to_owned())];
        let cookie = b"01234567";
        for (case, query, want) in [
            ("no EDNS", query(), None),
            (
                "not asked",
                query().edns(1400, false),
                Some((1400, false, vec![])),
            ),
            (
                "asked",
                query().edns(1400, false).option(NSID, b""),
                Some((1400, true, force())),
            ),
            (
                "asked with data",
                query().option(NSID, b"abc"),
                Some((1232, true, force())),
            ),
            (
                "cookie too",
                query().option(COOKIE, cookie).option(NSID, b""),
                Some((1232, true, force())),
            ),
            (
                "cookie only",
                query().option(COOKIE, cookie),
                Some((1232, false, vec![(COOKIE, "01234567".to_owned())])),
            ),
        ] {
            assert_eq!(ask(&plugins, text, &query).await, want, "{case}");
        }
    }

    #[tokio::test]
    async fn the_default_is_the_host_name() {
        let query = query().option(NSID, b"");
        let want = Some((1232, true, vec![(NSID, host_name())]));
        assert_eq!(ask(&[crate::PLUGIN, FIXED], "nsid\nfixed", &query).await, want);
    }

    #[tokio::test]
    async fn the_options_of_an_answer_stay() {
        const BLOCKED: Definition = Definition::new("blocked", |setup| {
            setup.add(Blocked);
            Ok(())
        });
        let query = query().option(NSID, b"");
        let seen = ask(&[crate::PLUGIN, BLOCKED], "nsid me\nblocked", &query)
            .await
            .unwrap();
        assert_eq!(
            seen,
            (
                1232,
                true,
                vec![(EXTENDED_ERROR, "\0\u{f}".to_owned()), (NSID, "me".to_owned())]
            )
        );
    }

    #[tokio::test]
    async fn what_no_plugin_wrote_stays_as_it_is() {
        const REFUSING: Definition = Definition::new("refusing", |setup| {
            setup.add(Refusing);
            Ok(())
        });
        let block = set_up(&[crate::PLUGIN, REFUSING], "nsid me\nrefusing").unwrap();
        let mut request = query().option(NSID, b"").to_request().unwrap();
        let outcome = block.ask(&mut request).await.unwrap();
        assert!(matches!(outcome, Outcome::Status(Rcode::REFUSED)), "{outcome:?}");
    }

    #[tokio::test]
    async fn each_message_of_a_transfer_is_named() {
        const TRANSFER: Definition = Definition::new("transferring", |setup| {
            setup.add(Transferring);
            Ok(())
        });
        let block = set_up(&[crate::PLUGIN, TRANSFER], "nsid me\ntransferring").unwrap();
        let mut request = query().option(NSID, b"").to_request().unwrap();
        let Ok(Outcome::Transfer(mut stream)) = block.ask(&mut request).await else {
            panic!("expected a transfer");
        };
        let mut named = 0;
        while let Some(message) = stream.next().await {
            let options: Vec<_> = message
                .unwrap()
                .edns_options()
                .map(|(code, value)| (code, value.to_vec()))
                .collect();
            assert_eq!(options, [(NSID, b"me".to_vec())]);
            named += 1;
        }
        assert_eq!(named, 2);
    }

    #[test]
    fn stands_once_in_a_block() {
        let error = set_up(&[crate::PLUGIN], "nsid\nnsid a").unwrap_err();
        let headline = "Corefile:2:1: plugin/nsid: this plugin can only be used once per Server Block";
        assert_eq!(error.as_slice()[0].headline(), headline);
    }

    struct Blocked;

    #[async_trait]
    impl Plugin for Blocked {
        fn name(&self) -> &'static str {
            "blocked"
        }

        async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            let mut response = request.reply().rcode(Rcode::REFUSED).finish();
            response.set_opt(4096, true);
            response.add_option(EXTENDED_ERROR, &[0, 15]);
            Ok(response.into())
        }
    }

    struct Refusing;

    #[async_trait]
    impl Plugin for Refusing {
        fn name(&self) -> &'static str {
            "refusing"
        }

        async fn serve_dns(&self, _: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            Ok(Outcome::Status(Rcode::REFUSED))
        }
    }

    struct Transferring;

    #[async_trait]
    impl Plugin for Transferring {
        fn name(&self) -> &'static str {
            "transferring"
        }

        async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
            let message = request.reply().finish();
            Ok(Outcome::Transfer(TransferStream::from_messages(vec![
                message.clone(),
                message,
            ])))
        }
    }
}
