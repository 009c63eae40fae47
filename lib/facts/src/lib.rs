//! What plugins know of a query beyond its bytes: the listener that received it, the view that let it in, and the
//! metadata that other plugins give.
//!
//! - [`ByServer`] keeps a value, such as a counter's handle, for each listener: the label `server` of metrics.
//! - [`Surroundings`] is told at the start which view the block has (the label `view`), and finds metadata.
//! - [`MetadataZones`] is offered by the plugin `metadata`; without it there is no metadata in a block.

#![forbid(unsafe_code)]

mod server;
mod surroundings;

pub use server::ByServer;
pub use surroundings::{MetadataZones, Surroundings};
