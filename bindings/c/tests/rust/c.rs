//! The functions of the header as a careful C caller would wrap them: who made a handle frees it,
//! every answer begins as dirt, and after every call it is looked at whether the header's contract
//! was kept.
//!
//! Every call in here is safe because handles are live and of their kind, text and bytes are
//! pointer and length of a slice that outlives the call, and places for answers are the caller's
//! own.

use std::ffi::{CStr, c_char};
use std::ptr;

use poolscope_capi::*;

/// An error object, read and freed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: poolscope_status,
    pub message: String,
    pub offset: Option<u64>,
    pub object: Option<String>,
}

pub type Result<T> = std::result::Result<T, Failure>;

/// The value of an output before the call: nothing that a call may leave there, read or
/// free.
pub trait Place: Copy {
    const DIRT: Self;

    /// Whether it is what a failed call has to leave: NULL or 0.
    fn is_nothing(self) -> bool;
}

impl<T> Place for *mut T {
    const DIRT: *mut T = ptr::without_provenance_mut(0xd1);

    fn is_nothing(self) -> bool {
        self.is_null()
    }
}

impl<T> Place for *const T {
    const DIRT: *const T = ptr::without_provenance(0xd1);

    fn is_nothing(self) -> bool {
        self.is_null()
    }
}

macro_rules! number_answers {
    ($($number:ty)*) => {$(
        impl Place for $number {
            // No length or status that a call could really give.
            const DIRT: $number = <$number>::MAX ^ 0x2e;

            fn is_nothing(self) -> bool {
                self == 0
            }
        }
    )*};
}

number_answers!(u16 u32 i32 usize);

impl Place for bool {
    const DIRT: bool = true;

    fn is_nothing(self) -> bool {
        !self
    }
}

/// The step that a failed call leaves.
impl Place for poolscope_fact_step {
    const DIRT: poolscope_fact_step = poolscope_fact_step {
        action: poolscope_fact_action::POOLSCOPE_FACT_CANCEL,
        id: 17,
        millis: 17,
        kind: ptr::dangling(),
        kind_len: 17,
        target: ptr::dangling(),
        target_len: 17,
        accept: ptr::dangling(),
        accept_len: 17,
        message: ptr::dangling(),
        message_len: 17,
    };

    fn is_nothing(self) -> bool {
        let texts = [self.kind, self.target, self.accept, self.message];
        let lengths = [self.kind_len, self.target_len, self.accept_len, self.message_len];
        self.action == poolscope_fact_action::POOLSCOPE_FACT_WAIT
            && (self.id, self.millis, lengths) == (0, 0, [0; 4])
            && texts.iter().all(|text| text.is_null())
    }
}

/// Reads and frees what a call has left at `*error`, and holds it against the status that the call
/// returned.
pub fn ended(status: poolscope_status, error: *mut poolscope_error) -> Result<()> {
    assert_ne!(error, Place::DIRT, "a call that can fail says whether it did");
    if status == poolscope_status::POOLSCOPE_OK {
        assert!(error.is_null(), "an error where there is none");
        return Ok(());
    }
    assert!(!error.is_null(), "{status:?} without an error");
    // SAFETY: the call gave this error, and its texts are copied before it is freed.
    let failure = unsafe {
        assert_eq!(poolscope_error_status(error), status);
        let text = |text: *const c_char| CStr::from_ptr(text).to_str().unwrap().to_owned();
        let object = poolscope_error_object(error);
        let offset = poolscope_error_offset(error);
        let failure = Failure {
            status,
            message: text(poolscope_error_message(error)),
            offset: (offset != POOLSCOPE_NO_OFFSET).then_some(offset),
            object: (!object.is_null()).then(|| text(object)),
        };
        poolscope_error_free(error);
        failure
    };
    assert!(!failure.message.is_empty());
    Err(failure)
}

/// Calls a function that can fail with places for its answers and its error. After a failure
/// nothing stands in the places.
macro_rules! call {
    ($function:ident($($argument:expr),* $(; $($answer:ident),+)?)) => {{
        $($(let mut $answer = Place::DIRT;)+)?
        let mut error = Place::DIRT;
        // SAFETY: this page's.
        let status = unsafe { $function($($argument,)* $($(&raw mut $answer,)+)? &raw mut error) };
        let result = ended(status, error);
        if result.is_err() {
            $($(assert!(
                Place::is_nothing($answer),
                concat!(stringify!($function), " failed and left ", stringify!($answer))
            );)+)?
        }
        #[allow(unused_parens)]
        result.map(|()| ($($($answer),+)?))
    }};
}

/// Calls a function that cannot fail.
macro_rules! get {
    ($function:ident($handle:expr)) => {{
        // SAFETY: this page's.
        unsafe { $function($handle) }
    }};
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($c:ident) freed by $free:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(pub *mut $c);

        // SAFETY: "Everything else belongs to one thread at a time, and may move."
        unsafe impl Send for $name {}

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: it is this wrapper's, and used by nobody any more.
                unsafe { $free(self.0) }
            }
        }
    )*};
}

handles! {
    Cluster(poolscope_cluster) freed by poolscope_cluster_free;
    Node(poolscope_node) freed by poolscope_node_free;
    FactReader(poolscope_fact_reader) freed by poolscope_fact_reader_free;
    FactSync(poolscope_fact_sync) freed by poolscope_fact_sync_free;
    BodyRewriter(poolscope_stream) freed by poolscope_stream_free;
    Inventory(poolscope_inventory) freed by poolscope_inventory_free;
    Listener(poolscope_listener) freed by poolscope_listener_free;
    Headers(poolscope_headers) freed by poolscope_headers_free;
    Reply(poolscope_reply) freed by poolscope_reply_free;
    Text(poolscope_text) freed by poolscope_text_free;
}

// SAFETY: "A cluster and a node may be used by any number of threads at the same time."
unsafe impl Sync for Cluster {}
// SAFETY: the same.
unsafe impl Sync for Node {}

/// Pointer and length of bytes that may be no text.
fn parts(bytes: &[u8]) -> (*const c_char, usize) {
    (bytes.as_ptr().cast(), bytes.len())
}

/// A copy of bytes that the library gave.
fn copied(data: *const u8, len: usize) -> Vec<u8> {
    assert!(!data.is_null() && data != Place::DIRT && len != usize::DIRT);
    // SAFETY: the library says that so many bytes are there until the next call on their handle.
    unsafe { std::slice::from_raw_parts(data, len) }.to_vec()
}

impl Text {
    /// Returns the text before the NUL, which must be at its length.
    pub fn read(self) -> String {
        // SAFETY: the text is live until the end of this function.
        let text = unsafe { CStr::from_ptr(poolscope_text_data(self.0)) }.to_str().unwrap();
        assert_eq!(text.len(), get!(poolscope_text_len(self.0)));
        text.to_owned()
    }
}

fn json(text: *mut poolscope_text) -> String {
    Text(text).read()
}

impl Cluster {
    pub fn new(config: impl AsRef<[u8]>) -> Result<Cluster> {
        let (config, len) = parts(config.as_ref());
        call!(poolscope_cluster_new(config, len; cluster)).map(Cluster)
    }

    pub fn read_facts(&self, request: &RequestHead, head: &ResponseHead) -> Result<FactReader> {
        request
            .with(|request| {
                head.with(|response| {
                call!(poolscope_cluster_read_facts(self.0, request, response; reader))
            })
            })
            .map(FactReader)
    }

    pub fn node(&self, name: impl AsRef<[u8]>) -> Result<Node> {
        let (name, len) = parts(name.as_ref());
        call!(poolscope_cluster_node(self.0, name, len; node)).map(Node)
    }

    pub fn generation(&self) -> u64 {
        get!(poolscope_cluster_generation(self.0))
    }

    pub fn changes_since(&self, generation: u64) -> String {
        call!(poolscope_cluster_changes_since(self.0, generation; changes)).map(json).unwrap()
    }

    pub fn counters(&self) -> String {
        call!(poolscope_cluster_counters(self.0; counters)).map(json).unwrap()
    }

    pub fn invalidate_source(&self, kind: impl AsRef<[u8]>) -> Result<()> {
        let (kind, len) = parts(kind.as_ref());
        call!(poolscope_cluster_invalidate_source(self.0, kind, len))
    }
}

impl FactReader {
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        call!(poolscope_fact_reader_push(self.0, data.as_ptr(), data.len()))
    }

    pub fn finish(&mut self) -> Result<()> {
        call!(poolscope_fact_reader_finish(self.0))
    }
}

/// A step, with copies of its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactStep {
    pub action: poolscope_fact_action,
    pub id: u64,
    pub millis: u64,
    pub kind: String,
    pub target: String,
    pub accept: String,
    pub message: String,
}

impl FactSync {
    pub fn new(node: &Node, seed: u64) -> Result<FactSync> {
        call!(poolscope_fact_sync_new(node.0, seed; sync)).map(FactSync)
    }

    pub fn leave_to_client(&mut self, kind: &str) -> Result<()> {
        let (kind, len) = parts(kind.as_bytes());
        call!(poolscope_fact_sync_leave_to_client(self.0, kind, len))
    }

    pub fn require(&mut self, kind: &str) -> Result<()> {
        let (kind, len) = parts(kind.as_bytes());
        call!(poolscope_fact_sync_require(self.0, kind, len))
    }

    pub fn next(&mut self, now: u64) -> Result<FactStep> {
        let text = |data: *const c_char, len| match data.is_null() {
            true => String::new(),
            false => String::from_utf8(copied(data.cast(), len)).unwrap(),
        };
        call!(poolscope_fact_sync_next(self.0, now; step)).map(|step| FactStep {
            action: step.action,
            id: step.id,
            millis: step.millis,
            kind: text(step.kind, step.kind_len),
            target: text(step.target, step.target_len),
            accept: text(step.accept, step.accept_len),
            message: text(step.message, step.message_len),
        })
    }

    pub fn head(&mut self, id: u64, head: &ResponseHead, now: u64) -> Result<bool> {
        head.with(|head| call!(poolscope_fact_sync_head(self.0, id, head, now; wanted)))
    }

    pub fn push(&mut self, id: u64, data: &[u8], now: u64) -> Result<bool> {
        call!(poolscope_fact_sync_push(self.0, id, data.as_ptr(), data.len(), now; wanted))
    }

    pub fn end(&mut self, id: u64, now: u64) -> Result<()> {
        call!(poolscope_fact_sync_end(self.0, id, now))
    }

    pub fn broke(&mut self, id: u64, why: &str, now: u64) -> Result<()> {
        let (why, len) = parts(why.as_bytes());
        call!(poolscope_fact_sync_broke(self.0, id, why, len, now))
    }
}

/// Headers as C has them: an array that borrows names and values.
fn header_array(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<poolscope_header> {
    let header = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let ((name, name_len), (value, value_len)) = (parts(name), parts(value));
        poolscope_header { name, name_len, value, value_len }
    };
    headers.iter().map(header).collect()
}

fn owned(headers: &[(String, String)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect()
}

/// A request whose texts may be no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RequestHead {
    pub fn new(method: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> RequestHead {
        let (method, target) = (method.as_ref().to_vec(), target.as_ref().to_vec());
        RequestHead { method, target, headers: Vec::new() }
    }

    /// Copies Rust's head.
    pub fn of(rust: &poolscope::RequestHead) -> RequestHead {
        let headers = owned(&rust.headers);
        RequestHead { headers, ..RequestHead::new(&rust.method, &rust.target) }
    }

    pub fn add_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    /// Shows the request to a call as C would.
    pub fn with<T>(&self, call: impl FnOnce(*const poolscope_request) -> T) -> T {
        let ((method, method_len), (target, target_len)) =
            (parts(&self.method), parts(&self.target));
        let headers = header_array(&self.headers);
        call(&poolscope_request {
            method,
            method_len,
            target,
            target_len,
            headers: headers.as_ptr(),
            header_count: headers.len(),
        })
    }
}

/// The head of a response whose texts may be no text.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    pub status: u16,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ResponseHead {
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead { status, headers: Vec::new() }
    }

    /// Copies Rust's head.
    pub fn of(rust: &poolscope::ResponseHead) -> ResponseHead {
        ResponseHead { status: rust.status, headers: owned(&rust.headers) }
    }

    pub fn add_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    /// Shows the head to a call as C would.
    pub fn with<T>(&self, call: impl FnOnce(*const poolscope_response) -> T) -> T {
        let headers = header_array(&self.headers);
        call(&poolscope_response {
            http_status: self.status,
            headers: headers.as_ptr(),
            header_count: headers.len(),
        })
    }
}

impl Headers {
    /// Names and values, each followed by a NUL.
    pub fn read(&self) -> Vec<(String, String)> {
        // SAFETY: the handle is live, and its fields are what the header says.
        let headers = unsafe {
            let poolscope_headers { data, count } = *self.0;
            if count == 0 { &[][..] } else { std::slice::from_raw_parts(data, count) }
        };
        let text = |data: *const c_char, len: usize| {
            let bytes = copied(data.cast(), len + 1);
            assert_eq!(bytes[len], 0, "a NUL follows");
            String::from_utf8(bytes[..len].to_vec()).unwrap()
        };
        headers
            .iter()
            .map(|header| {
                (text(header.name, header.name_len), text(header.value, header.value_len))
            })
            .collect()
    }
}

type Open = unsafe extern "C" fn(
    *const poolscope_node,
    *const poolscope_request,
    *const poolscope_response,
    *mut poolscope_action,
    *mut *mut poolscope_stream,
    *mut *mut poolscope_reply,
    *mut *mut poolscope_error,
) -> poolscope_status;

impl Node {
    pub fn is_ready(&self) -> bool {
        get!(poolscope_node_is_ready(self.0))
    }

    pub fn describe(&self) -> String {
        call!(poolscope_node_describe(self.0; description)).map(json).unwrap()
    }

    pub fn prepare(&self, request: &RequestHead) -> Result<Headers> {
        request
            .with(|request| call!(poolscope_node_prepare(self.0, request; prepared)))
            .map(Headers)
    }

    pub fn open(&self, request: &RequestHead, head: &ResponseHead) -> Result<Action> {
        self.opened(poolscope_node_open, request, head)
    }

    pub fn open_stateless(&self, request: &RequestHead, head: &ResponseHead) -> Result<Action> {
        self.opened(poolscope_node_open_stateless, request, head)
    }

    fn opened(&self, open: Open, request: &RequestHead, head: &ResponseHead) -> Result<Action> {
        let (mut action, mut stream, mut reply) = (i32::DIRT, Place::DIRT, Place::DIRT);
        let mut error = Place::DIRT;
        let status = request.with(|request| {
            head.with(|response| {
                // SAFETY: this page's; an action is an `i32`.
                unsafe {
                    open(
                        self.0,
                        request,
                        response,
                        (&raw mut action).cast(),
                        &raw mut stream,
                        &raw mut reply,
                        &raw mut error,
                    )
                }
            })
        });
        let result = ended(status, error);
        if result.is_err() {
            assert_eq!((action, stream.is_null(), reply.is_null()), (0, true, true));
        }
        result.map(|()| {
            let what = [
                poolscope_action::POOLSCOPE_ACTION_REPLY,
                poolscope_action::POOLSCOPE_ACTION_FORWARD,
                poolscope_action::POOLSCOPE_ACTION_REWRITE,
            ]
            .into_iter()
            .find(|&known| known as i32 == action)
            .unwrap();
            Action {
                what,
                stream: (!stream.is_null()).then_some(BodyRewriter(stream)),
                reply: (!reply.is_null()).then_some(Reply(reply)),
            }
        })
    }

    pub fn judge(
        &self,
        namespace: impl AsRef<[u8]>,
        service: impl AsRef<[u8]>,
        on: impl AsRef<[u8]>,
    ) -> Result<String> {
        let [namespace, service, on] =
            [namespace.as_ref(), service.as_ref(), on.as_ref()].map(parts);
        call!(poolscope_node_judge(
            self.0, namespace.0, namespace.1, service.0, service.1, on.0, on.1; verdict
        ))
        .map(json)
    }
}

/// How to handle a response. The stream and the reply are the caller's.
pub struct Action {
    pub what: poolscope_action,
    pub stream: Option<BodyRewriter>,
    pub reply: Option<Reply>,
}

impl Action {
    pub fn take_stream(&mut self) -> Option<BodyRewriter> {
        self.stream.take()
    }
}

/// The fields of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub status: u16,
    pub retry_after: u32,
    pub cause: poolscope_cause,
    pub content_type: String,
    pub body: Vec<u8>,
    pub missing: String,
}

impl Reply {
    pub fn read(&self) -> Fields {
        // SAFETY: the handle is live, and its fields are what the header says.
        unsafe {
            let reply = &*self.0;
            let text = |text| CStr::from_ptr(text).to_str().unwrap().to_owned();
            Fields {
                status: reply.http_status,
                retry_after: reply.retry_after,
                cause: reply.cause,
                content_type: text(reply.content_type),
                body: copied(reply.body, reply.body_len),
                missing: text(reply.missing),
            }
        }
    }
}

/// Calls a function that gives bytes out, which are there after an error too.
macro_rules! give {
    ($function:ident($($argument:expr),*)) => {{
        let (mut out, mut out_len): (*const u8, usize) = (Place::DIRT, Place::DIRT);
        let mut error: *mut poolscope_error = Place::DIRT;
        // SAFETY: this page's.
        let status = unsafe {
            $function($($argument,)* &raw mut out, &raw mut out_len, &raw mut error)
        };
        let bytes = if out_len == 0 { Vec::new() } else { copied(out, out_len) };
        (ended(status, error), bytes)
    }};
}

impl BodyRewriter {
    pub fn push(&mut self, data: &[u8]) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_push(self.0, data.as_ptr(), data.len()))
    }

    pub fn refresh(&mut self) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_refresh(self.0))
    }

    pub fn finish(&mut self) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_finish(self.0))
    }

    pub fn provide_list(&mut self, head: &ResponseHead, body: &[u8]) -> (Result<()>, Vec<u8>) {
        head.with(|response| {
            give!(poolscope_stream_provide_list(self.0, response, body.as_ptr(), body.len()))
        })
    }

    pub fn state(&self) -> poolscope_stream_state {
        get!(poolscope_stream_get_state(self.0))
    }

    pub fn needed_lists(&self) -> String {
        call!(poolscope_stream_needed_lists(self.0; lists)).map(json).unwrap()
    }

    pub fn bytes_in(&self) -> u64 {
        self.state().bytes_in
    }

    pub fn bytes_out(&self) -> u64 {
        self.state().bytes_out
    }
}

impl Inventory {
    pub fn new() -> Inventory {
        call!(poolscope_inventory_new(; inventory)).map(Inventory).unwrap()
    }

    pub fn load(&mut self, body: &[u8]) -> Result<usize> {
        call!(poolscope_inventory_load(self.0, body.as_ptr(), body.len(); loaded))
    }

    pub fn view(&self, node: &Node) -> String {
        call!(poolscope_inventory_view(self.0, node.0; services)).map(json).unwrap()
    }

    pub fn find(
        &self,
        node: &Node,
        namespace: impl AsRef<[u8]>,
        service: impl AsRef<[u8]>,
    ) -> Result<String> {
        let ((namespace, namespace_len), (service, service_len)) =
            (parts(namespace.as_ref()), parts(service.as_ref()));
        call!(poolscope_inventory_find(
            self.0, node.0, namespace, namespace_len, service, service_len; found
        ))
        .map(json)
    }
}
