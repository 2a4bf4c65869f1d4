//! The functions of the header as a careful C caller would wrap them: who made a handle frees it,
//! every answer begins as dirt, and after every call it is looked at whether the header's contract
//! was kept.
//!
//! What makes every call in here safe: handles are live and of their kind, text and bytes are
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

/// What a place for an answer holds before the call: nothing that a call may leave there, read or
/// free.
pub trait Answer: Copy {
    const DIRT: Self;

    /// Whether it is what a failed call has to leave: NULL or 0.
    fn is_nothing(self) -> bool;
}

impl<T> Answer for *mut T {
    const DIRT: *mut T = ptr::without_provenance_mut(0xd1);

    fn is_nothing(self) -> bool {
        self.is_null()
    }
}

impl<T> Answer for *const T {
    const DIRT: *const T = ptr::without_provenance(0xd1);

    fn is_nothing(self) -> bool {
        self.is_null()
    }
}

macro_rules! number_answers {
    ($($number:ty)*) => {$(
        impl Answer for $number {
            // No length or status that a call could really give.
            const DIRT: $number = <$number>::MAX ^ 0x2e;

            fn is_nothing(self) -> bool {
                self == 0
            }
        }
    )*};
}

number_answers!(u16 u32 usize);

/// Reads and frees what a call has left at `*error`, and holds it against the status that the call
/// returned.
pub fn ended(status: poolscope_status, error: *mut poolscope_error) -> Result<()> {
    assert_ne!(error, Answer::DIRT, "a call that can fail says whether it did");
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
        $($(let mut $answer = Answer::DIRT;)+)?
        let mut error = Answer::DIRT;
        // SAFETY: this page's.
        let status = unsafe { $function($($argument,)* $($(&raw mut $answer,)+)? &raw mut error) };
        let result = ended(status, error);
        if result.is_err() {
            $($(assert!(Answer::is_nothing($answer), concat!(stringify!($function), " failed and left ", stringify!($answer)));)+)?
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
    Feed(poolscope_feed) freed by poolscope_feed_free;
    Request(poolscope_request) freed by poolscope_request_free;
    Head(poolscope_head) freed by poolscope_head_free;
    Opened(poolscope_opened) freed by poolscope_opened_free;
    Stream(poolscope_stream) freed by poolscope_stream_free;
    Inventory(poolscope_inventory) freed by poolscope_inventory_free;
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
    assert!(!data.is_null() && data != Answer::DIRT && len != usize::DIRT);
    // SAFETY: the library says that so many bytes are there until the next call on their handle.
    unsafe { std::slice::from_raw_parts(data, len) }.to_vec()
}

impl Text {
    /// What is before the NUL, which is where the text says that it ends.
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

    pub fn feed(&self, request: &Request, head: &Head) -> Result<Feed> {
        call!(poolscope_cluster_feed(self.0, request.0, head.0; feed)).map(Feed)
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

    pub fn forget_source(&self, kind: impl AsRef<[u8]>) -> Result<()> {
        let (kind, len) = parts(kind.as_ref());
        call!(poolscope_cluster_forget_source(self.0, kind, len))
    }
}

impl Feed {
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        call!(poolscope_feed_push(self.0, data.as_ptr(), data.len()))
    }

    pub fn finish(&mut self) -> Result<()> {
        call!(poolscope_feed_finish(self.0))
    }
}

impl Request {
    pub fn new(method: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<Request> {
        let ((method, method_len), (target, target_len)) =
            (parts(method.as_ref()), parts(target.as_ref()));
        call!(poolscope_request_new(method, method_len, target, target_len; request)).map(Request)
    }

    /// What Rust's says.
    pub fn of(rust: &poolscope::Request) -> Request {
        let mut request = Request::new(&rust.method, &rust.target).unwrap();
        rust.headers.iter().for_each(|(name, value)| request.add_header(name, value).unwrap());
        request
    }

    pub fn add_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let ((name, name_len), (value, value_len)) = (parts(name.as_ref()), parts(value.as_ref()));
        call!(poolscope_request_add_header(self.0, name, name_len, value, value_len))
    }

    pub fn header_count(&self) -> usize {
        get!(poolscope_request_header_count(self.0))
    }

    pub fn header(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let header =
            call!(poolscope_request_header(self.0, index; name, name_len, value, value_len));
        header.map(|(name, name_len, value, value_len)| {
            (copied(name.cast(), name_len), copied(value.cast(), value_len))
        })
    }

    pub fn headers(&self) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let headers = (0..self.header_count()).map(|index| self.header(index).unwrap());
        headers.map(|(name, value)| (text(name), text(value))).collect()
    }
}

impl Head {
    pub fn new(status: u16) -> Head {
        call!(poolscope_head_new(status; head)).map(Head).unwrap()
    }

    /// What Rust's says.
    pub fn of(rust: &poolscope::Head) -> Head {
        let mut head = Head::new(rust.status);
        rust.headers.iter().for_each(|(name, value)| head.add_header(name, value).unwrap());
        head
    }

    pub fn add_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let ((name, name_len), (value, value_len)) = (parts(name.as_ref()), parts(value.as_ref()));
        call!(poolscope_head_add_header(self.0, name, name_len, value, value_len))
    }
}

impl Node {
    pub fn is_ready(&self) -> bool {
        get!(poolscope_node_is_ready(self.0))
    }

    pub fn describe(&self) -> String {
        call!(poolscope_node_describe(self.0; description)).map(json).unwrap()
    }

    pub fn prepare(&self, request: &mut Request) {
        call!(poolscope_node_prepare(self.0, request.0)).unwrap();
    }

    pub fn open(&self, request: &Request, head: &Head) -> Result<Opened> {
        call!(poolscope_node_open(self.0, request.0, head.0; opened)).map(Opened)
    }

    pub fn open_alone(&self, request: &Request, head: &Head) -> Result<Opened> {
        call!(poolscope_node_open_alone(self.0, request.0, head.0; opened)).map(Opened)
    }

    pub fn judge(
        &self,
        namespace: impl AsRef<[u8]>,
        service: impl AsRef<[u8]>,
        on: impl AsRef<[u8]>,
    ) -> Result<String> {
        let [namespace, service, on] =
            [namespace.as_ref(), service.as_ref(), on.as_ref()].map(parts);
        call!(poolscope_node_judge(self.0, namespace.0, namespace.1, service.0, service.1, on.0, on.1; verdict)).map(json)
    }
}

impl Opened {
    pub fn what(&self) -> poolscope_opening {
        get!(poolscope_opened_what(self.0))
    }

    pub fn take_stream(&mut self) -> Option<Stream> {
        let stream = get!(poolscope_opened_take_stream(self.0));
        (!stream.is_null()).then_some(Stream(stream))
    }

    /// `None` for no Retry-After.
    pub fn answer(&self) -> Result<(u16, Option<u32>, String, Vec<u8>)> {
        let answer = call!(poolscope_opened_answer(self.0; http_status, retry_after, content_type, body, body_len));
        answer.map(|(http_status, retry_after, content_type, body, body_len)| {
            // SAFETY: it is NUL-terminated, and valid until `opened` is freed.
            let content_type = unsafe { CStr::from_ptr(content_type) }.to_str().unwrap().to_owned();
            (
                http_status,
                Some(retry_after).filter(|&seconds| seconds > 0),
                content_type,
                copied(body, body_len),
            )
        })
    }

    pub fn missing(&self) -> String {
        call!(poolscope_opened_missing(self.0; missing)).map(json).unwrap()
    }
}

/// Calls a function that gives bytes out, which are there after an error too.
macro_rules! give {
    ($function:ident($($argument:expr),*)) => {{
        let (mut out, mut out_len, mut error): (*const u8, usize, *mut poolscope_error) = (Answer::DIRT, Answer::DIRT, Answer::DIRT);
        // SAFETY: this page's.
        let status = unsafe { $function($($argument,)* &raw mut out, &raw mut out_len, &raw mut error) };
        let bytes = if out_len == 0 { Vec::new() } else { copied(out, out_len) };
        (ended(status, error), bytes)
    }};
}

impl Stream {
    pub fn push(&mut self, data: &[u8]) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_push(self.0, data.as_ptr(), data.len()))
    }

    pub fn refresh(&mut self) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_refresh(self.0))
    }

    pub fn finish(&mut self) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_finish(self.0))
    }

    pub fn supply(&mut self, head: &Head, body: &[u8]) -> (Result<()>, Vec<u8>) {
        give!(poolscope_stream_supply(self.0, head.0, body.as_ptr(), body.len()))
    }

    pub fn is_behind(&self) -> bool {
        get!(poolscope_stream_is_behind(self.0))
    }

    pub fn is_over(&self) -> bool {
        get!(poolscope_stream_is_over(self.0))
    }

    pub fn wanted(&self) -> String {
        call!(poolscope_stream_wanted(self.0; wanted)).map(json).unwrap()
    }

    pub fn taken(&self) -> u64 {
        get!(poolscope_stream_taken(self.0))
    }

    pub fn given(&self) -> u64 {
        get!(poolscope_stream_given(self.0))
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
        call!(poolscope_inventory_find(self.0, node.0, namespace, namespace_len, service, service_len; found)).map(json)
    }
}
