use std::{collections::HashMap, io};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 16 << 20;

/// One HTTP/1.1 request, body read.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    pub(crate) keep_alive: bool,
    headers: Vec<(String, String)>,
}

/// Why no request could be read.
pub(crate) enum Unreadable {
    /// The connection ended, between requests or inside one.
    Ended,
    /// The bytes are no request; answer with this status and close.
    Malformed(u16),
}

impl From<io::Error> for Unreadable {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

impl Request {
    pub(crate) async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Self, Unreadable> {
        let (mut request, length) = loop {
            if let Some(head) = Self::parse_head(buffer)? {
                break head;
            }
            if buffer.len() > MAX_HEAD_BYTES {
                return Err(Unreadable::Malformed(431));
            }
            fill(stream, buffer).await?;
        };
        let length = match length {
            Some(length) => length,
            None => return Err(Unreadable::Malformed(400)),
        };
        if request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        match length {
            Length::Known(bytes) if bytes > MAX_BODY_BYTES => return Err(Unreadable::Malformed(413)),
            Length::Known(bytes) => {
                while buffer.len() < bytes {
                    fill(stream, buffer).await?;
                }
                request.body = buffer.split_to(bytes).to_vec();
            }
            Length::Chunked => request.body = read_chunks(stream, buffer).await?,
        }
        Ok(request)
    }

    #[allow(clippy::type_complexity)]
    fn parse_head(buffer: &mut BytesMut) -> Result<Option<(Self, Option<Length>)>, Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let size = match parsed.parse(buffer) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Unreadable::Malformed(400)),
        };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(Unreadable::Malformed(400));
        };
        let headers: Vec<_> = parsed
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned()))
            .collect();
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            body: Vec::new(),
            keep_alive: parsed.version == Some(1),
            headers,
        };
        match request.header("connection").map(str::to_ascii_lowercase) {
            Some(value) if value.contains("close") => request.keep_alive = false,
            Some(value) if value.contains("keep-alive") => request.keep_alive = true,
            _ => {}
        }
        let length = request.length();
        buffer.advance(size);
        Ok(Some((request, length)))
    }

    fn length(&self) -> Option<Length> {
        if self.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked")) {
            return Some(Length::Chunked);
        }
        match self.header("content-length") {
            None => Some(Length::Known(0)),
            Some(text) => text.parse().ok().map(Length::Known),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// All values of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        pairs(query).filter(|(n, _)| n == name).map(|(_, value)| value).collect()
    }

    /// The body as `application/x-www-form-urlencoded`.
    pub(crate) fn form(&self) -> HashMap<String, String> {
        pairs(&String::from_utf8_lossy(&self.body)).collect()
    }
}

enum Length {
    Known(usize),
    Chunked,
}

async fn fill(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<(), Unreadable> {
    if stream.read_buf(buffer).await? == 0 {
        return Err(Unreadable::Ended);
    }
    Ok(())
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Vec<u8>, Unreadable> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream, buffer).await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Unreadable::Malformed(400))?;
        if size == 0 {
            // Trailers, up to the empty line.
            while !read_line(stream, buffer).await?.is_empty() {}
            return Ok(body);
        }
        if size.saturating_add(body.len()) > MAX_BODY_BYTES {
            return Err(Unreadable::Malformed(413));
        }
        while buffer.len() < size + 2 {
            fill(stream, buffer).await?;
        }
        body.extend_from_slice(&buffer.split_to(size));
        buffer.advance(2);
    }
}

async fn read_line(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<String, Unreadable> {
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") {
            let line = buffer.split_to(end);
            buffer.advance(2);
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(Unreadable::Malformed(400));
        }
        fill(stream, buffer).await?;
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(name), percent_decoded(value))
    })
}

/// `%41` is `A`, `+` is a space; anything else stands for itself.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                i += 3;
                continue;
            }
            (b'+', _, _) => decoded.push(b' '),
            (other, _, _) => decoded.push(other),
        }
        i += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// One HTTP/1.1 answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, headers: vec![("Content-Type", "application/json".to_owned())], body }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn header_value(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    /// Head and body as they go out; a HEAD request gets the head only.
    pub(crate) fn encode(&self, method: &str, date: &str, keep_alive: bool) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("HTTP/1.1 {} {}\r\nDate: {date}\r\n", self.status, reason_phrase(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !matches!(self.status, 101 | 204) {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        if self.status != 101 && !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let body = if method == "HEAD" || self.status == 204 { Vec::new() } else { self.body.clone() };
        (head.into_bytes(), body)
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
