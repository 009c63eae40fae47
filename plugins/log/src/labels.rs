//! Facts about a query that other plugins give, for `{/LABEL}` in a format.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use catena_core::message::Request;
use catena_core::plugin::{Lifecycle, MetadataProvider, MetadataSink, Services, StartContext, StartError};

/// The block's services, known once all its plugins are set up.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    services: OnceLock<Arc<Services>>,
}

impl Labels {
    /// Fills `values` with one value for each of `names`; empty where nobody gives one.
    pub(crate) fn collect(&self, request: &Request, names: &[Box<str>], values: &mut Vec<String>) {
        values.iter_mut().for_each(String::clear);
        values.resize_with(names.len(), String::new);
        let Some(services) = self.services.get() else {
            return;
        };
        let mut wanted = Wanted { names, values };
        for provider in services.all::<dyn MetadataProvider>() {
            provider.provide(request, &mut wanted);
        }
    }

    fn set(&self, services: Arc<Services>) {
        // A plugin is started once.
        let _ = self.services.set(services);
    }
}

/// Takes those facts that a format names.
struct Wanted<'a> {
    names: &'a [Box<str>],
    values: &'a mut [String],
}

impl MetadataSink for Wanted<'_> {
    fn add(&mut self, label: &str, value: &str) {
        let place = self.names.iter().position(|name| **name == *label);
        if let Some(slot) = place.and_then(|place| self.values.get_mut(place)) {
            slot.clear();
            slot.push_str(value);
        }
    }
}

#[async_trait]
impl Lifecycle for Labels {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        self.set(Arc::clone(&context.services));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::QueryBuilder;

    struct Country;

    impl MetadataProvider for Country {
        fn provide(&self, _: &Request, sink: &mut dyn MetadataSink) {
            sink.add("geoip/country/code", "SE");
            sink.add("geoip/city/name", "Lund\n");
        }
    }

    #[test]
    fn named_labels_get_their_values_and_old_ones_are_forgotten() {
        let names: Vec<Box<str>> = vec!["geoip/city/name".into(), "view/name".into()];
        let request = QueryBuilder::new("a.", 1_u16).unwrap().to_request().unwrap();
        let labels = Labels::default();
        let mut values = vec!["old".to_owned(), "old".to_owned(), "old".to_owned()];
        labels.collect(&request, &names, &mut values);
        assert_eq!(values, ["", ""]);
        let mut services = Services::default();
        services.offer::<dyn MetadataProvider>(Arc::new(Country));
        labels.set(Arc::new(services));
        labels.collect(&request, &names, &mut values);
        assert_eq!(values, ["Lund\n", ""]);
    }
}
