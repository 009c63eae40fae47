//! The `dynresolve` plugin.
