//! Sockets in the file system: bound beside an older configuration's, and removed at the end.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// The sockets that this server has made, by device and inode.
#[derive(Debug, Default)]
pub(crate) struct OwnSockets(Mutex<HashSet<Inode>>);

type Inode = (u64, u64);

/// A socket's place in the file system.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    inode: Inode,
    sockets: Arc<OwnSockets>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sockets.0.lock().remove(&self.inode);
        // A newer configuration may have put its own socket there.
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`. What a server that crashed has left there is replaced, and with `reload` so is the socket of this
/// server's older configuration; nobody who connects meanwhile is refused.
///
/// # Errors
///
/// Something else is there, or the socket cannot be made.
pub(crate) fn bind(
    path: PathBuf,
    sockets: &Arc<OwnSockets>,
    reload: bool,
) -> io::Result<(UnixListener, Place)> {
    let listener = match fs::symlink_metadata(&path) {
        Err(_) => UnixListener::bind(&path)?,
        Ok(found) => {
            let own = reload && sockets.0.lock().contains(&(found.dev(), found.ino()));
            let free = found.file_type().is_socket() && (own || is_abandoned(&path));
            if !free {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            replace(&path)?
        }
    };
    let inode = inode(&path)?;
    sockets.0.lock().insert(inode);
    let place = Place {
        path,
        inode,
        sockets: Arc::clone(sockets),
    };
    Ok((listener, place))
}

/// Whether nobody listens there any more.
fn is_abandoned(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Makes a socket beside the old one, and puts it in its place.
fn replace(path: &Path) -> io::Result<UnixListener> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let listener = UnixListener::bind(&new)?;
    match fs::rename(&new, path) {
        Ok(()) => Ok(listener),
        Err(error) => {
            let _ = fs::remove_file(&new);
            Err(error)
        }
    }
}

fn inode(path: &Path) -> io::Result<Inode> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_made_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap.sock");
        let sockets = Arc::new(OwnSockets::default());
        let (_listener, place) = bind(path.clone(), &sockets, false).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(place);
        assert!(!path.exists());
        assert!(sockets.0.lock().is_empty());
    }

    #[test]
    fn what_others_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = Arc::new(OwnSockets::default());
        let path = folder.path().join("tap.sock");
        let other = UnixListener::bind(&path).unwrap();
        for reload in [false, true] {
            let error = bind(path.clone(), &sockets, reload).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        // Nobody listens there any more.
        drop(other);
        bind(path, &sockets, false).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(bind(file.clone(), &sockets, true).is_err());
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
    }

    #[test]
    fn a_reload_takes_the_place_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap.sock");
        let sockets = Arc::new(OwnSockets::default());
        let (_old, old_place) = bind(path.clone(), &sockets, false).unwrap();
        assert!(bind(path.clone(), &sockets, false).is_err());
        let (new, new_place) = bind(path.clone(), &sockets, true).unwrap();
        drop(old_place);
        UnixStream::connect(&path).unwrap();
        new.accept().unwrap();
        drop(new_place);
        assert!(!path.exists());
    }
}
