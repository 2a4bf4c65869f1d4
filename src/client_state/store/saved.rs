//! The session store as bytes, and back.
//!
//! A state that is saved while a stream uses it is behind its client from the next event on. Its
//! client then resumes at a version that the state does not reach, and has to list again. Only
//! events that facts cause leave that version as it is, so that saved states are of use until facts
//! change ([`Cluster::before_change`](crate::Cluster::before_change)).

use prost::Message;

use super::super::saved::SavedState;
use super::*;

/// The form of the bytes. Another version of poolscope may have another one.
const FORMAT: u32 = 1;

/// Client states cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are not what [`Cluster::save_client_states`](crate::Cluster::save_client_states)
    /// returns, or were damaged.
    #[error("the bytes are no saved client states, or are damaged")]
    Malformed,
    /// Another version of poolscope saved them.
    #[error("saved by a version of poolscope with format {found}; this one reads {FORMAT}")]
    Format {
        /// The format of the bytes.
        found: u32,
    },
    /// A response was opened before.
    #[error("the cluster has served responses already: restore before the first")]
    InUse,
}

#[derive(Clone, PartialEq, Message)]
struct SavedStore {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(fixed64, tag = "2")]
    digest_seed: u64,
    #[prost(uint64, optional, tag = "3")]
    doubt_of_any: Option<u64>,
    /// In the order in which they were used last.
    #[prost(message, repeated, tag = "4")]
    slots: Vec<SavedSlot>,
    #[prost(message, repeated, tag = "5")]
    doubts: Vec<SavedDoubt>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedSlot {
    #[prost(message, required, tag = "1")]
    key: SavedKey,
    /// The client has to relist.
    #[prost(bool, tag = "2")]
    is_past: bool,
    #[prost(message, required, tag = "3")]
    client_state: SavedState,
}

#[derive(Clone, PartialEq, Message)]
struct SavedDoubt {
    #[prost(message, required, tag = "1")]
    key: SavedKey,
    #[prost(uint64, optional, tag = "2")]
    version: Option<u64>,
    #[prost(uint32, tag = "3")]
    lists: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedKey {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, optional, tag = "3")]
    namespace: Option<String>,
    #[prost(string, repeated, tag = "4")]
    labels: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    fields: Vec<String>,
    #[prost(bool, tag = "6")]
    is_protobuf: bool,
    #[prost(bool, tag = "7")]
    metadata_only: bool,
    #[prost(string, tag = "8")]
    prefix: String,
    #[prost(string, tag = "9")]
    client: String,
}

/// The kinds that [`number`] has numbers for.
const KINDS: [SubjectKind; 4] = [
    SubjectKind::EndpointSlice,
    SubjectKind::EndpointSliceBeta,
    SubjectKind::Endpoints,
    SubjectKind::Service,
];

/// Returns the number of a kind in [`FORMAT`].
fn number(kind: SubjectKind) -> u32 {
    match kind {
        SubjectKind::EndpointSlice => 0,
        SubjectKind::EndpointSliceBeta => 1,
        SubjectKind::Endpoints => 2,
        SubjectKind::Service => 3,
    }
}

impl SavedKey {
    fn of(key: &Key) -> SavedKey {
        SavedKey {
            node: key.node.to_vec(),
            kind: number(key.kind),
            namespace: key.selection.namespace.clone(),
            labels: key.selection.labels.iter().cloned().collect(),
            fields: key.selection.fields.iter().cloned().collect(),
            is_protobuf: key.encoding == Encoding::Protobuf,
            metadata_only: key.metadata_only,
            prefix: key.prefix.to_string(),
            client: key.client.to_string(),
        }
    }

    fn key(self) -> Option<Key> {
        Some(Key {
            node: self.node.into(),
            kind: KINDS.into_iter().find(|kind| number(*kind) == self.kind)?,
            selection: Selection {
                namespace: self.namespace,
                labels: self.labels.into_iter().collect(),
                fields: self.fields.into_iter().collect(),
            },
            encoding: if self.is_protobuf { Encoding::Protobuf } else { Encoding::Json },
            metadata_only: self.metadata_only,
            prefix: self.prefix.into(),
            client: self.client.into(),
        })
    }
}

/// Returns the client states as bytes, `max_bytes` at most, the latest first. A state that does not
/// fit is saved with due originals alone. If it does not fit either, its client is in doubt.
pub(crate) fn save(sessions: &Mutex<SessionStore>, max_bytes: usize) -> Vec<u8> {
    let guard = lock_sessions(sessions);
    let mut saved = SavedStore {
        format: FORMAT,
        digest_seed: guard.digest_seed,
        doubt_of_any: guard.doubt_of_any.0,
        slots: Vec::new(),
        doubts: Vec::new(),
    };
    // In the order of their end; those in use are the latest.
    let mut slots: Vec<(Option<u64>, u64, &Slot)> = guard
        .slots
        .iter()
        .map(|(&id, slot)| (slot.unused.map(|unused| unused.order), id, slot))
        .collect();
    slots.sort_unstable_by_key(|(order, id, _)| (order.is_none(), *order, *id));
    let slots: Vec<(Arc<Key>, Stage, SharedState)> = slots
        .into_iter()
        .map(|(_, _, slot)| (slot.key.clone(), slot.stage.clone(), slot.client_state.clone()))
        .collect();
    let mut doubts: HashMap<Arc<Key>, (Version, usize)> = guard
        .doubted
        .values()
        .filter_map(|key| Some((key.clone(), guard.doubts.get(key)?)))
        .map(|(key, doubt)| (key, (doubt.version, doubt.lists)))
        .collect();
    drop(guard);

    let mut room = max_bytes;
    for (key, stage, client_state) in slots.into_iter().rev() {
        let client_state = lock(&client_state);
        let mut slot = None;
        match stage {
            // The next page is asked for by another process, which knows nothing of this one.
            Stage::Page(_) => continue,
            Stage::Initial => {}
            Stage::Ready | Stage::Past => {
                let mut whole = SavedSlot {
                    key: SavedKey::of(&key),
                    is_past: stage == Stage::Past,
                    client_state: client_state.save(),
                };
                if whole.encoded_len() > room {
                    whole.client_state.keep_what_is_due();
                }
                slot = Some(whole).filter(|slot| slot.encoded_len() <= room);
            }
        }
        match slot {
            Some(slot) => {
                room -= slot.encoded_len();
                saved.slots.push(slot);
            }
            None => {
                let reach = client_state.reach();
                let (version, lists) = doubts.entry(key).or_default();
                *version = version.later(reach);
                *lists = (*lists + LISTS_IN_DOUBT).min(MAX_LISTS_IN_DOUBT);
            }
        }
    }
    saved.slots.reverse();
    saved.doubts = doubts
        .into_iter()
        .map(|(key, (version, lists))| SavedDoubt {
            key: SavedKey::of(&key),
            version: version.0,
            lists: lists as u32,
        })
        .collect();
    saved.encode_to_vec()
}

/// Reads saved client states into a store without any. Returns how many they are.
pub(crate) fn restore(
    sessions: &Arc<Mutex<SessionStore>>,
    saved: bytes::Bytes,
) -> Result<usize, RestoreError> {
    let saved = SavedStore::decode(saved).map_err(|_| RestoreError::Malformed)?;
    if saved.format != FORMAT {
        return Err(RestoreError::Format { found: saved.format });
    }
    let digests = Digests::with_seed(saved.digest_seed);
    let topology_fallback = lock_sessions(sessions).topology_fallback;
    let slot = |slot: SavedSlot| {
        let stage = if slot.is_past { Stage::Past } else { Stage::Ready };
        let state = ClientState::from_saved(slot.client_state, digests.clone(), topology_fallback)?;
        Some((slot.key.key()?, stage, state))
    };
    let slots: Option<Vec<_>> = saved.slots.into_iter().map(slot).collect();
    let doubt = |doubt: SavedDoubt| Some((doubt.key.key()?, Version(doubt.version), doubt.lists));
    let doubts: Option<Vec<_>> = saved.doubts.into_iter().map(doubt).collect();
    let (Some(slots), Some(doubts)) = (slots, doubts) else { return Err(RestoreError::Malformed) };

    let mut guard = lock_sessions(sessions);
    if guard.next != 0 {
        return Err(RestoreError::InUse);
    }
    guard.digest_seed = saved.digest_seed;
    guard.doubt_of_any = Version(saved.doubt_of_any);
    for (key, version, lists) in doubts {
        let key = Arc::new(key);
        guard.doubt(key.clone(), version);
        if let Some(doubt) = guard.doubts.get_mut(&key) {
            doubt.lists = (lists as usize).clamp(1, MAX_LISTS_IN_DOUBT);
        }
    }
    let count = slots.len();
    for (key, stage, state) in slots {
        let id = guard.add(&key, stage, Arc::new(Mutex::new(state)));
        guard.return_lease(id);
    }
    Ok(count)
}
