//! Talks with a child in both directions: over its standard streams, and over a Unix socket.
//!
//! `cargo run -p zako_exec --example talk`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use zako_exec::{Companion, FIXED_PATH, Process, find_program};

const GRACE: Duration = Duration::from_secs(10);

/// Answers each line with its length, until there are no more.
const COUNTER: &str = "while read -r line; do echo \"${#line}\"; done; echo 'no more' >&2";

/// The same over the socket that its argument names, for one line.
const OVER_SOCKET: &str = r#"use strict; use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "no socket: $!";
$socket->autoflush(1);
my $line = <$socket>; chomp $line;
print $socket length($line), "\n";"#;

fn process(program: &str, args: &[&str], dir: &Path) -> Process {
    let mut process = Process::new(program, dir);
    process.args = args.iter().map(Into::into).collect();
    process.env = [("PATH".to_owned(), FIXED_PATH.to_owned())].into();
    process
}

async fn over_pipes(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut child = Companion::start(&process("sh", &["-c", COUNTER], dir))?;
    for line in ["a", "word", "a whole sentence"] {
        child.stdin.line(line).await?;
        let answer = child.stdout.line().await?.ok_or("it is gone")?;
        println!(
            "{line:?} has {} letters",
            String::from_utf8(answer.clone())?
        );
        assert_eq!(answer, line.len().to_string().into_bytes());
    }
    let Companion {
        stdin,
        mut stderr,
        handle,
        ..
    } = child;
    // What reads until the end of its input ends when that is closed.
    drop(stdin);
    assert_eq!(stderr.line().await?.as_deref(), Some(&b"no more"[..]));
    println!("it ended: {:?}", handle.end(GRACE).await?);
    Ok(())
}

async fn say(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn hear(socket: &UnixStream) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") {
        socket.readable().await?;
        let mut chunk = [0; 256];
        match socket.try_read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(heard)
}

async fn over_a_socket(dir: &Path) -> Result<(), Box<dyn Error>> {
    let path = dir.join("socket");
    let listener = UnixListener::bind(&path)?;
    let name = path.display().to_string();
    let child = Companion::start(&process("perl", &["-e", OVER_SOCKET, &name], dir))?;
    let (socket, _) = listener.accept().await?;
    say(&socket, b"over a socket\n").await?;
    let answer = hear(&socket).await?;
    println!("over the socket: {}", String::from_utf8_lossy(&answer));
    assert_eq!(answer, b"13\n");
    println!("it ended: {:?}", child.end(GRACE).await?);
    Ok(())
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    over_pipes(folder.path()).await?;
    match find_program("perl", FIXED_PATH) {
        Some(_) => over_a_socket(folder.path()).await,
        None => {
            println!("skipped: there is no perl here to talk with over a socket");
            Ok(())
        }
    }
}
