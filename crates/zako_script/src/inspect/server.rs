//! The debugger's side that faces the network: HTTP for what can be debugged, WebSockets for sessions.
//!
//! Only on the loopback interface. A web page in the person's browser could reach it there too, so a request must name
//! the address by number or as `localhost` (a foreign name means DNS rebinding), and ids cannot be guessed.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use deno_core::futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use deno_core::{
    InspectorMsg, InspectorSessionChannels, InspectorSessionKind, InspectorSessionProxy,
};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::debugger::{Shared, Target};

/// The most bytes of a request before its empty line.
const MAX_HEAD: usize = 16 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// The most connections at once; one more waits.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take to say what it wants, and to close.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the server's thread.
pub(super) fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    std::thread::Builder::new()
        .name("zako-debugger".to_owned())
        .spawn(move || runtime.block_on(serve(listener, shared)))
}

async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closed.cancelled() => break,
        };
        let (Ok((stream, _)), Ok(permit)) = (accepted, free.clone().acquire_owned().await) else {
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            // A connection that fails is the other side's to notice.
            let _ = connection(stream, &shared).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(PATIENCE, all).await;
}

/// What a request asks for.
struct Asked {
    path: String,
    host: String,
    /// The key of a WebSocket's handshake.
    key: Option<String>,
}

async fn connection(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let asked = match tokio::time::timeout(PATIENCE, asked(&mut stream)).await {
        Ok(Ok(Some(asked))) => asked,
        Ok(Err(error)) => return Err(error),
        Ok(Ok(None)) | Err(_) => {
            return answer(
                &mut stream,
                "400 Bad Request",
                "text/plain",
                "not understood",
            )
            .await;
        }
    };
    if !is_local(&asked.host) {
        let text = "the address must be a number or localhost";
        return answer(&mut stream, "403 Forbidden", "text/plain", text).await;
    }
    if let Some(key) = &asked.key {
        let target = {
            let targets = shared.targets.lock();
            let id = asked.path.trim_start_matches('/');
            targets.iter().find(|target| target.id == id).cloned()
        };
        let Some(target) = target else {
            return answer(&mut stream, "404 Not Found", "text/plain", "no such target").await;
        };
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        return session(socket, &target, shared)
            .await
            .map_err(io::Error::other);
    }
    let body = match asked.path.trim_end_matches('/') {
        "/json" | "/json/list" => list(shared),
        "/json/version" => json!({
            "Browser": concat!("zako/", env!("CARGO_PKG_VERSION")),
            "Protocol-Version": "1.3",
            "V8-Version": deno_core::v8::VERSION_STRING,
        }),
        _ => return answer(&mut stream, "404 Not Found", "text/plain", "see /json/list").await,
    };
    let body = format!("{body:#}\n");
    answer(
        &mut stream,
        "200 OK",
        "application/json; charset=UTF-8",
        &body,
    )
    .await
}

/// Reads a request's head; `None` when it is none.
async fn asked(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Ok(None);
        }
        // One at a time: what follows the head belongs to the WebSocket.
        head.push(stream.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(&head), Ok(status) if status.is_complete())
        || request.method != Some("GET")
    {
        return Ok(None);
    }
    let path = request.path.unwrap_or_default().to_owned();
    let header = |name: &str| {
        let header = request.headers.iter();
        let header = header.filter(|header| header.name.eq_ignore_ascii_case(name));
        let mut value = header.map(|header| String::from_utf8_lossy(header.value).into_owned());
        value.next_back()
    };
    let is_websocket =
        header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    Ok(Some(Asked {
        path,
        host: header("host").unwrap_or_default(),
        key: header("sec-websocket-key").filter(|_| is_websocket),
    }))
}

/// Whether a `Host` header names this machine in a way that no foreign name server had a say in.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok() || name == "[::1]"
}

fn list(shared: &Shared) -> Json {
    let targets = shared.targets.lock();
    let described = targets.iter().map(|target| {
        let at = format!("{}/{}", shared.address, target.id);
        json!({
            "description": "zako",
            "devtoolsFrontendUrl": format!("devtools://devtools/bundled/js_app.html?ws={at}&experiments=true&v8only=true"),
            "id": target.id,
            "title": target.title,
            "type": "node",
            "url": target.url,
            "webSocketDebuggerUrl": shared.websocket_of(&target.id),
        })
    });
    described.collect()
}

async fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Carries messages between a debugger and a realm until either ends.
async fn session(
    mut socket: WebSocketStream<TcpStream>,
    target: &Target,
    shared: &Shared,
) -> Result<(), Error> {
    let (to_realm, from_debugger) = unbounded::<String>();
    let (to_debugger, mut from_realm): (UnboundedSender<InspectorMsg>, UnboundedReceiver<_>) =
        unbounded();
    let proxy = InspectorSessionProxy {
        channels: InspectorSessionChannels::Regular {
            tx: to_debugger,
            rx: from_debugger,
        },
        kind: InspectorSessionKind::NonBlocking {
            wait_for_disconnect: false,
        },
    };
    // A realm that is gone takes none: the socket closes at once.
    let _ = target.sessions.unbounded_send(proxy);
    loop {
        tokio::select! {
            message = from_realm.next() => match message {
                Some(message) => socket.send(Message::text(message.content)).await?,
                None => break,
            },
            message = socket.next() => match message.transpose()? {
                Some(Message::Text(text)) => {
                    if to_realm.unbounded_send(text.to_string()).is_err() {
                        break;
                    }
                }
                Some(Message::Close(_)) | None => break,
                Some(_) => {}
            },
            () = shared.closed.cancelled() => break,
        }
    }
    let closing = socket.close(None);
    match tokio::time::timeout(PATIENCE, closing).await {
        Ok(Err(Error::ConnectionClosed)) | Err(_) => Ok(()),
        Ok(closed) => closed,
    }
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn foreign_names_are_refused() {
        for host in [
            "127.0.0.1:9229",
            "localhost:9229",
            "localhost",
            "[::1]:9229",
            "10.0.0.2:1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "example.org",
            "example.org:9229",
            "localhost.example.org",
            "",
            "127.0.0.1.x",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
