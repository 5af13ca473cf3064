//! HTTP/1.1 as far as a JSON-RPC client needs it: one request a connection.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// The parts of a request that matter here.
pub(crate) struct Request {
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The request. `None` if the client goes away before it is whole.
pub(crate) async fn receive(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("authorization") {
            authorization = Some(value.trim().to_owned());
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { authorization, body }))
}

/// Answers with JSON, and closes.
pub(crate) async fn respond(stream: &mut BufReader<TcpStream>, status: u16, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Answers with JSON that doesn't end, until the client goes away.
pub(crate) async fn respond_endlessly(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let head = "HTTP/1.1 200 \r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[";
    stream.write_all(head.as_bytes()).await?;
    let piece = "{},".repeat(64 << 10);
    loop {
        stream.write_all(piece.as_bytes()).await?;
    }
}
