//! The block's view and its metadata.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use catena_core::message::{QName, Request, Zone};
use catena_core::plugin::{
    Lifecycle, MetadataProvider, MetadataSink, Services, StartContext, StartError, ViewFilter,
};

/// The zones that the plugin `metadata` gathers metadata for; it offers them as a service of the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataZones(pub Vec<Zone>);

impl MetadataZones {
    /// Whether there is metadata about queries for this name.
    #[must_use]
    pub fn covers(&self, name: &QName) -> bool {
        self.0.iter().any(|zone| name.is_within(zone))
    }
}

/// What a plugin knows of its block once all plugins of it are set up.
///
/// A plugin registers it with [`Setup::lifecycle`](catena_core::plugin::Setup::lifecycle), by which it learns of the
/// services at the start. Until then there is no view and no metadata.
#[derive(Debug, Default)]
pub struct Surroundings {
    plugin: &'static str,
    services: OnceLock<Arc<Services>>,
}

impl Surroundings {
    /// For a plugin of this name.
    #[must_use]
    pub const fn of(plugin: &'static str) -> Self {
        Self {
            plugin,
            services: OnceLock::new(),
        }
    }

    /// The name of the block's view; empty without one.
    #[must_use]
    pub fn view_name(&self) -> &str {
        let services = self.services.get();
        services
            .and_then(|services| services.first::<dyn ViewFilter>())
            .map_or("", |view| view.view_name())
    }

    /// Whether the block gathers metadata about this query.
    #[must_use]
    pub fn has_metadata(&self, request: &Request) -> bool {
        let services = self.services.get();
        services
            .and_then(|services| services.first::<MetadataZones>())
            .is_some_and(|zones| zones.covers(request.qname()))
    }

    /// The metadata under this label; none if nobody gives it, or the block gathers none.
    #[must_use]
    pub fn metadata(&self, request: &Request, label: &str) -> Option<String> {
        if !self.has_metadata(request) {
            return None;
        }
        let mut wanted = Wanted { label, value: None };
        for provider in self.services.get()?.all::<dyn MetadataProvider>() {
            provider.provide(request, &mut wanted);
        }
        wanted.value
    }

    /// All metadata in the order in which it is given, where a later value of a label holds.
    #[must_use]
    pub fn all_metadata(&self, request: &Request) -> Vec<(String, String)> {
        let mut given = Given::default();
        if let Some(services) = self.services.get().filter(|_| self.has_metadata(request)) {
            for provider in services.all::<dyn MetadataProvider>() {
                provider.provide(request, &mut given);
            }
        }
        given.0
    }

    /// Takes the services, as the start does; for tests and for programs that embed a plugin.
    pub fn set(&self, services: Arc<Services>) {
        // A plugin is started once.
        let _ = self.services.set(services);
    }
}

/// Keeps the last value that is given for a label, as CoreDNS does.
struct Wanted<'a> {
    label: &'a str,
    value: Option<String>,
}

impl MetadataSink for Wanted<'_> {
    fn add(&mut self, label: &str, value: &str) {
        if label == self.label {
            self.value = Some(value.to_owned());
        }
    }
}

/// Keeps all that is given.
#[derive(Default)]
struct Given(Vec<(String, String)>);

impl MetadataSink for Given {
    fn add(&mut self, label: &str, value: &str) {
        self.0.push((label.to_owned(), value.to_owned()));
    }
}

#[async_trait]
impl Lifecycle for Surroundings {
    fn name(&self) -> &'static str {
        self.plugin
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        self.set(Arc::clone(&context.services));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::QueryBuilder;

    use super::*;

    struct Office;

    impl ViewFilter for Office {
        fn view_name(&self) -> &str {
            "office"
        }

        fn accepts(&self, _: &Request) -> bool {
            true
        }
    }

    impl MetadataProvider for Office {
        fn provide(&self, _: &Request, sink: &mut dyn MetadataSink) {
            sink.add("office/floor", "2");
            sink.add("office/floor", "3");
        }
    }

    fn request() -> Request {
        QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap()
    }

    #[test]
    fn before_the_start_nothing_is_known() {
        let surroundings = Surroundings::of("acl");
        assert_eq!(surroundings.view_name(), "");
        assert_eq!(surroundings.metadata(&request(), "office/floor"), None);
        assert_eq!(Lifecycle::name(&surroundings), "acl");
    }

    #[test]
    fn metadata_is_there_for_the_zones_that_ask_for_it() {
        for (case, zones, want) in [
            ("no metadata plugin", None, None),
            ("another zone", Some("example.net"), None),
            ("the zone", Some("example.org"), Some("3".to_owned())),
        ] {
            let mut services = Services::default();
            services.offer::<dyn ViewFilter>(Arc::new(Office));
            services.offer::<dyn MetadataProvider>(Arc::new(Office));
            if let Some(zone) = zones {
                services.offer(Arc::new(MetadataZones(vec![zone.parse().unwrap()])));
            }
            let surroundings = Surroundings::of("acl");
            surroundings.set(Arc::new(services));
            assert_eq!(surroundings.view_name(), "office");
            assert_eq!(
                surroundings.metadata(&request(), "office/floor"),
                want,
                "case {case}"
            );
            assert_eq!(
                surroundings.metadata(&request(), "office/door"),
                None,
                "case {case}"
            );
            let all: Vec<String> = surroundings
                .all_metadata(&request())
                .into_iter()
                .map(|(label, value)| format!("{label}={value}"))
                .collect();
            let given = ["office/floor=2", "office/floor=3"];
            assert_eq!(all, if want.is_some() { &given[..] } else { &[] }, "case {case}");
        }
    }
}
