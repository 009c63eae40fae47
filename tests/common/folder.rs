//! A working folder with ports of its own, and the server in it.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use catena_testkit::Answer;
use tempfile::TempDir;

use super::ports::Port;
use super::process::Process;
use super::{BINARY, client};

/// A folder; `@PORT@` and `@P1@` to `@P4@` in files and arguments are ports of its own.
pub struct Folder {
    directory: TempDir,
    ports: [Port; 5],
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folder {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        Self {
            directory,
            ports: std::array::from_fn(|_| Port::any()),
            binary: BINARY.into(),
            environment: Vec::new(),
        }
    }

    /// A folder with a Corefile.
    pub fn with(corefile: &str) -> Self {
        let folder = Self::new();
        folder.write("Corefile", corefile);
        folder
    }

    /// Runs another build of the program.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Sets a variable of the program's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Port 0 is `@PORT@`, 1 to 4 are `@P1@` to `@P4@`.
    pub fn port(&self, number: usize) -> u16 {
        self.ports[number].number
    }

    pub fn address_of(&self, number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port(number)))
    }

    pub fn fill(&self, text: &str) -> String {
        let text = text.replace("@PORT@", &self.port(0).to_string());
        (1..self.ports.len()).fold(text, |text, number| {
            text.replace(&format!("@P{number}@"), &self.port(number).to_string())
        })
    }

    /// Writes a file in one step, so that a server that watches it never sees half of it.
    pub fn write(&self, name: &str, text: &str) {
        let temporary = self.path(".new");
        std::fs::write(&temporary, self.fill(text)).expect("a file");
        std::fs::rename(temporary, self.path(name)).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    /// Runs the program to its end, with nothing on standard input.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_with(args, None)
    }

    pub fn run_with(&self, args: &[&str], stdin: Option<&str>) -> Finished {
        let mut process = self.spawn(args, stdin);
        let status = process.wait_exit();
        Finished {
            status,
            stdout: process.stdout(),
            stderr: process.stderr(),
        }
    }

    /// Starts the program, and does not wait until it serves.
    pub fn spawn(&self, args: &[&str], stdin: Option<&str>) -> Process {
        let args: Vec<String> = args.iter().map(|arg| self.fill(arg)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let stdin = stdin.map(|text| self.fill(text));
        let fill = |(name, value): &(String, String)| (name.clone(), self.fill(value));
        let environment: Vec<_> = self.environment.iter().map(fill).collect();
        let folder = self.directory.path();
        Process::start(&self.binary, folder, &args, &environment, stdin.as_deref())
    }

    /// Starts the server, and waits until it says that it serves.
    pub fn serve(self, args: &[&str]) -> Catena {
        let process = self.spawn(args, None);
        process.wait_for("runs Corefiles of CoreDNS-");
        Catena {
            process,
            folder: self,
        }
    }
}

/// A server that runs.
pub struct Catena {
    pub process: Process,
    pub folder: Folder,
}

impl Catena {
    /// Serves a Corefile.
    pub fn serve(corefile: &str) -> Self {
        Folder::with(corefile).serve(&[])
    }

    pub fn address(&self) -> SocketAddr {
        self.folder.address_of(0)
    }

    /// Asks over UDP, or over TCP with `+tcp`.
    #[track_caller]
    pub fn ask(&self, query: &str) -> Answer {
        client::ask(self.address(), query)
    }

    /// Writes another Corefile, asks for a reload, and waits until it serves.
    #[track_caller]
    pub fn reload(&self, corefile: &str) {
        let before = self.process.count_of("Reloading complete");
        self.folder.write("Corefile", corefile);
        self.process.signal("USR1");
        self.process.wait_for_count("Reloading complete", before + 1);
    }

    /// Ends the server as an operator does, and gives its exit status.
    #[track_caller]
    pub fn stop(mut self) -> i32 {
        self.process.signal("TERM");
        self.process.wait_exit()
    }
}

impl Deref for Catena {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Catena {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
