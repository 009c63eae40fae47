//! DNS messages as the server sees them.
