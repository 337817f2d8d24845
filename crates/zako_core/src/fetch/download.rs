//! Getting content from an address into a file, with its digest. Blocks: for a thread of its own, since a server may
//! be silent for longer than anybody waits.

use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Algorithm, FetchError, Hashing, Integrity};

/// How long until a server must have taken the connection.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// How long until it must have begun to answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How long it may send.
const BODY_TIME: Duration = Duration::from_secs(3600);

/// How many redirects are followed.
const MAX_REDIRECTS: u32 = 10;

/// How often it is tried in all, when the server can't be reached or has trouble.
const MAX_ATTEMPTS: u32 = 3;

/// How long until the second attempt; twice as long until each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

const CHUNK: usize = 64 << 10;

/// What is to be got.
pub(crate) struct Download {
    /// From where.
    pub(crate) url: String,
    /// Into which file, which is made.
    pub(crate) place: PathBuf,
    /// How it is hashed.
    pub(crate) algorithm: Algorithm,
    /// Ends it at the next piece.
    pub(crate) cancel: CancellationToken,
}

/// What came.
pub(crate) struct Downloaded {
    /// Its digest.
    pub(crate) found: Integrity,
}

/// A failed attempt, and whether another one may do better.
struct Attempt {
    error: FetchError,
    is_worth_another: bool,
}

impl From<FetchError> for Attempt {
    fn from(error: FetchError) -> Self {
        Attempt {
            error,
            is_worth_another: false,
        }
    }
}

/// Gets it. Blocks.
///
/// # Errors
/// [`FetchError::Status`], [`FetchError::Network`], [`FetchError::Io`], and [`FetchError::Cancelled`] after `cancel` fired.
pub(crate) fn download(download: &Download) -> Result<Downloaded, FetchError> {
    if let Some(path) = download.url.strip_prefix("file://") {
        let path = Path::new(path);
        let file = File::open(path).map_err(io("read", path))?;
        return copy(download, file, None).map_err(|attempt| attempt.error);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIME))
        .timeout_recv_response(Some(ANSWER_TIME))
        .timeout_recv_body(Some(BODY_TIME))
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .user_agent(concat!("zako/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        match over_http(&agent, download) {
            Ok(downloaded) => return Ok(downloaded),
            Err(failed) if failed.is_worth_another && attempt < MAX_ATTEMPTS => {}
            Err(failed) => return Err(failed.error),
        }
        if download.cancel.is_cancelled() {
            break;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    Err(FetchError::Cancelled)
}

fn over_http(agent: &ureq::Agent, download: &Download) -> Result<Downloaded, Attempt> {
    let response = agent.get(&download.url).call().map_err(|error| {
        let is_worth_another = matches!(
            error,
            ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed
        );
        Attempt {
            is_worth_another,
            ..cut(download, error.to_string())
        }
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(Attempt {
            error: FetchError::Status {
                url: download.url.clone(),
                status: status.to_string(),
            },
            is_worth_another: status.is_server_error() || status.as_u16() == 429,
        });
    }
    let body = response.into_body();
    let announced = body.content_length();
    copy(download, body.into_reader(), announced)
}

/// Writes what `from` gives, `announced` bytes if that was said.
fn copy(
    download: &Download,
    mut from: impl Read,
    announced: Option<u64>,
) -> Result<Downloaded, Attempt> {
    let place = &download.place;
    let mut file = File::create(place).map_err(io("write", place))?;
    let mut hashing = Hashing::new(download.algorithm);
    let (mut chunk, mut size) = (vec![0; CHUNK], 0);
    loop {
        if download.cancel.is_cancelled() {
            return Err(FetchError::Cancelled.into());
        }
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(cut(download, error.to_string())),
        };
        hashing.update(&chunk[..count]);
        file.write_all(&chunk[..count])
            .map_err(io("write", place))?;
        size += count as u64;
    }
    if let Some(announced) = announced
        && announced != size
    {
        let why = format!("it ended after {size} of {announced} bytes");
        return Err(cut(download, why));
    }
    Ok(Downloaded {
        found: hashing.finish(),
    })
}

/// The server could not be reached, or stopped.
fn cut(download: &Download, why: String) -> Attempt {
    Attempt {
        error: FetchError::Network {
            url: download.url.clone(),
            why,
        },
        is_worth_another: true,
    }
}

fn io<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> FetchError + 'a {
    move |source| FetchError::Io {
        verb,
        path: path.to_owned(),
        source,
    }
}
