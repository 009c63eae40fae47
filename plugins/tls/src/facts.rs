//! What other plugins of the block are told of a query's encrypted connection.

use catena_core::message::Request;
use catena_core::plugin::{MetadataProvider, MetadataSink};

/// The facts of a connection, as metadata. What is not so, such as a certificate that the client did not show, is left out.
pub(crate) struct Facts;

impl MetadataProvider for Facts {
    fn provide(&self, request: &Request, sink: &mut dyn MetadataSink) {
        let Some(session) = request.tls() else { return };
        sink.add("tls/version", session.version);
        if let Some(name) = &session.server_name {
            sink.add("tls/server-name", name);
        }
        if let Some(fingerprint) = &session.client_fingerprint {
            sink.add("tls/client-sha256", fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catena_core::message::{QueryBuilder, TlsSession, Transport};

    use super::*;

    #[derive(Default)]
    struct Given(Vec<String>);

    impl MetadataSink for Given {
        fn add(&mut self, label: &str, value: &str) {
            self.0.push(format!("{label}={value}"));
        }
    }

    fn given(session: Option<TlsSession>) -> Vec<String> {
        let wire = QueryBuilder::new("example.org.", 1u16).expect("a name").to_wire();
        let mut request = Request::from_wire_over(&wire, Transport::Tls).expect("a query");
        request.set_tls(session.map(Arc::new).as_ref());
        let mut given = Given::default();
        Facts.provide(&request, &mut given);
        given.0
    }

    #[test]
    fn what_is_not_so_is_left_out() {
        assert_eq!(given(None), Vec::<String>::new());
        assert_eq!(
            given(Some(TlsSession::new("1.2", None, None))),
            ["tls/version=1.2"]
        );
        assert_eq!(
            given(Some(TlsSession::new("1.3", Some("dns.test"), None))),
            ["tls/version=1.3", "tls/server-name=dns.test"]
        );
    }
}
