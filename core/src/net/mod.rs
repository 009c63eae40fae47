//! Sockets: options, and datagrams in batches.
