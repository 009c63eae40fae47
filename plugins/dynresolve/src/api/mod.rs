//! The REST API: one thread with a runtime of its own for each instance, so that no query waits for it.

mod access;
mod audit;
mod connection;
mod endpoints;
mod refusal;
mod rest;
mod router;

use std::sync::Arc;

use catena_core::corefile::ConfigError;

use crate::instance::Instance;

pub(crate) use access::Access;
pub(crate) use connection::{Limits, serve};

/// What the handlers of requests work with.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) instance: Arc<Instance>,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
}

impl Api {
    /// The API of an instance.
    pub(crate) fn new(instance: &Arc<Instance>) -> Result<Self, ConfigError> {
        let config = &instance.config;
        let token = config.token(&|name| std::env::var_os(name))?;
        Ok(Self {
            access: Access::new(&token, config.allow.clone(), config.rate),
            instance: Arc::clone(instance),
            limits: Limits::default(),
        })
    }
}
