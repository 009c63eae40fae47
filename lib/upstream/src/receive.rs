//! The task that receives on one UDP socket: takes datagrams in batches and hands them to the worker's queries.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use catena_core::net::mmsg::RecvBatch;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::connection::{Place, wake};
use crate::local::Local;

/// Datagrams that are taken from a socket at a time.
const BATCH: usize = 16;

thread_local! {
    /// One for all sockets of a worker, which receive one after the other.
    static RECEIVED: RefCell<RecvBatch> = RefCell::new(RecvBatch::new(BATCH));
}

/// Receives until the socket is given up; the task is aborted when the socket is closed.
pub(crate) async fn run(local: Arc<Mutex<Local>>, socket: Arc<UdpSocket>, place: Place) {
    let mut woken = Vec::new();
    // An upstream that is not there shows as an error, which does not make the socket readable.
    while let Ok(ready) = socket.ready(Interest::READABLE | Interest::ERROR).await {
        let interest = if ready.is_readable() {
            Interest::READABLE
        } else {
            Interest::ERROR
        };
        RECEIVED.with_borrow_mut(|batch| {
            let mut received = Ok(0);
            let _readiness = socket.try_io(interest, || {
                received = batch.recv(&*socket);
                match &received {
                    // More may be there.
                    Ok(count) if *count == BATCH => Ok(()),
                    // Nothing is left: said to the runtime in this way, it spares the call that would find out.
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
            take(&local, place, received.map(|_| batch), &mut woken);
        });
        wake(&mut woken);
    }
}

fn take(
    local: &Arc<Mutex<Local>>,
    place: Place,
    received: io::Result<&mut RecvBatch>,
    woken: &mut Vec<Waker>,
) {
    let mut guard = local.lock();
    match received {
        Ok(batch) => {
            let now = Instant::now();
            for datagram in batch.iter() {
                if !guard.is_socket(place) {
                    break;
                }
                guard.udp_message(local, place, datagram.bytes, now, woken);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => guard.udp_failed(place, &error, woken),
    }
}
