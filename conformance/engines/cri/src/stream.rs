//! `Exec` and `Attach` answer with a URL. There the streams go over one web socket, in Kubernetes' protocol `v4.channel.k8s.io`: each
//! message begins with the number of its channel.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// How it ended, as JSON.
const STATUS: u8 = 3;

/// Passes the streams on until the other side ends them; the exit code of what ran there, where it says one.
pub(crate) fn relay(url: &str, input: bool) -> Result<i32, String> {
    let mut socket = connect(url).map_err(|error| format!("{url}: {error}"))?;
    if input {
        let mut message = vec![STDIN];
        io::stdin().read_to_end(&mut message).map_err(|error| format!("standard input: {error}"))?;
        socket.send(Message::binary(message)).map_err(|error| format!("{url}: {error}"))?;
    }
    let mut code = 0;
    loop {
        match socket.read() {
            Ok(Message::Binary(message)) => match message.split_first() {
                Some((&STDOUT, text)) => {
                    io::stdout().write_all(text).map_err(|error| format!("standard output: {error}"))?
                }
                Some((&STDERR, text)) => {
                    io::stderr().write_all(text).map_err(|error| format!("standard error: {error}"))?
                }
                Some((&STATUS, status)) => code = exit_code(status)?,
                _ => {}
            },
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(code),
            Ok(_) => {}
            Err(error) => return Err(format!("{url}: {error}")),
        }
    }
}

fn connect(url: &str) -> Result<WebSocket<TcpStream>, Box<dyn std::error::Error>> {
    let mut request = url.replacen("http:", "ws:", 1).into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("v4.channel.k8s.io"));
    let host = request.uri().authority().ok_or("it names no host")?.as_str();
    let stream = TcpStream::connect(host)?;
    Ok(tungstenite::client(request, stream)?.0)
}

/// What a status says: `{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}`.
fn exit_code(status: &[u8]) -> Result<i32, String> {
    let status: Value = serde_json::from_slice(status).map_err(|error| format!("the status: {error}"))?;
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status["details"]["causes"].as_array();
    let code = causes.and_then(|causes| causes.iter().find(|cause| cause["reason"] == "ExitCode"));
    code.and_then(|code| code["message"].as_str()?.parse().ok()).ok_or_else(|| status.to_string())
}
