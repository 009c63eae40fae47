//! What a cache of the block is told.

use std::sync::Arc;

use catena_core::message::{QName, Zone};
use catena_core::plugin::{CachePurge, Definition};
use catena_testkit::TestServer;
use parking_lot::Mutex;

use crate::corefile;
use crate::http::Http;

/// A cache that notes what it is told to forget.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl CachePurge for Notes {
    fn purge_name(&self, name: &QName) {
        self.0.lock().push(name.to_string());
    }

    fn purge_zone(&self, zone: &Zone) {
        self.0.lock().push(format!("all of {zone}"));
    }

    fn purge_all(&self) {
        self.0.lock().push("everything".to_owned());
    }
}

const CACHE: Definition = Definition::new("cache", |setup| {
    let notes: Arc<Notes> = setup.shared();
    setup.services().offer::<dyn CachePurge>(notes);
    Ok(())
});

#[test]
fn a_write_purges_what_it_changed_and_nothing_else() {
    let server = TestServer::start(
        [CACHE, catena_plugin_dynresolve::PLUGIN],
        &corefile("api rate-limit 1000", "cache"),
    );
    let notes = server.shared().of::<Notes>();
    let http = Http::of(&server);
    let many: Vec<String> = (0..2000)
        .map(|number| format!("\"n{number}\":{{\"type\":\"A\",\"records\":[\"10.0.0.1\"]}}"))
        .collect();
    let many = format!("{{\"services\":{{{}}}}}", many.join(","));
    let one = r#"{"type":"A","records":["10.0.0.1"]}"#;
    let steps: [(&str, &str, &str, &str, &[&str]); 9] = [
        ("put", "PUT", "/v1/services/a", one, &["a.service.local."]),
        ("refused", "PUT", "/v1/services/a", "{}", &[]),
        (
            "add",
            "POST",
            "/v1/services/B/records",
            one,
            &["b.service.local."],
        ),
        (
            "take",
            "DELETE",
            "/v1/services/b/records",
            one,
            &["b.service.local."],
        ),
        ("delete", "DELETE", "/v1/services/a", "", &["a.service.local."]),
        ("not there", "DELETE", "/v1/services/a", "", &[]),
        (
            "state",
            "PUT",
            "/v1/state",
            r#"{"services":{"c":{"type":"A","records":["10.0.0.1"]}}}"#,
            &["c.service.local."],
        ),
        (
            "the same",
            "PUT",
            "/v1/state",
            r#"{"services":{"c":{"type":"A","records":["10.0.0.1"]}}}"#,
            &[],
        ),
        ("many", "PUT", "/v1/state", &many, &["all of service.local."]),
    ];
    for (step, method, path, body, want) in steps {
        http.send(method, path, body);
        let told = std::mem::take(&mut *notes.0.lock());
        assert_eq!(told, want, "step {step}");
    }
}
