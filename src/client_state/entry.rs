//! The state of one object at one client.

use std::ops::Deref;
use std::sync::Arc;

use crate::object::version::Version;
use crate::topology::fallback::{Condition, UsableSteps};
use crate::topology::verdict::ViewKind;

/// The client's form of an object after the last event or list item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentForm {
    /// No object: the client does not have it.
    Absent,
    /// The form with this digest.
    Present(u64),
}

/// The client's copy of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyState {
    Present,
    Absent,
    /// The last event about it may not have arrived.
    Unknown,
}

/// The work that remains after the client received an object from the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followup {
    Nothing,
    /// Emit it again when `high` moves: the client may have another form under its version.
    Repeat,
    /// Look at it once more: the client of the watch may be one with another form.
    Check,
}

/// An event that corrects the client's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Correction {
    /// The copy before.
    pub(crate) copy: CopyState,
    /// The resourceVersion of the event.
    pub(crate) stamp: Version,
}

/// The state of one object at one client.
#[derive(Debug, Clone)]
pub(crate) struct ObjectState {
    pub(super) service: Option<u32>,
    /// The endpoints that name a node, in their order.
    pub(super) places: Vec<Place>,
    /// The order sums of `places`, if they are known.
    pub(super) order: Option<OrderSums>,
    /// The conditions of all its endpoints together.
    pub(super) conditions: u8,
    /// The family that its Service's topology fallback is decided for.
    pub(crate) family: u8,
    /// How the node saw it when it was last sent.
    pub(crate) view_kind: ViewKind,
    /// As upstream has it.
    pub(crate) version: Version,
    /// As the client has it; unknown where either of two may be.
    pub(crate) stamp: Version,
    /// It was last sent by a refresh, not by an event of upstream.
    pub(crate) synthetic: bool,
    /// The form that the client has; `None`: that is not known.
    pub(crate) sent: Option<SentForm>,
    /// The object, or an earlier one of its name, was sent once. Otherwise no client can have it.
    pub(crate) given: bool,
    /// In which forms it was emitted under its own version.
    pub(super) under_own_version: EmittedForms,
    /// The object's contribution to its group of siblings.
    pub(super) counted: Counted,
    /// The object as it would stand in a watch event.
    pub(crate) original: Option<Original>,
}

/// Bytes of an object. Events that are about to be emitted share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Original(Arc<Vec<u8>>);

impl Original {
    /// Joins `head` and `tail`.
    pub(super) fn of(head: &[u8], tail: &[u8]) -> Original {
        Original(Arc::new([head, tail].concat()))
    }

    /// Takes the bytes of the object's next version. Objects change often and by little: from the
    /// second version on there is room for one that is a little longer.
    pub(super) fn replace(&mut self, head: &[u8], tail: &[u8]) {
        let len = head.len() + tail.len();
        match Arc::get_mut(&mut self.0) {
            Some(bytes) if len <= bytes.capacity() && bytes.capacity() - len <= len / ROOM * 2 => {
                bytes.clear();
                bytes.extend_from_slice(head);
                bytes.extend_from_slice(tail);
            }
            _ => {
                let mut bytes = Vec::with_capacity(len + len / ROOM);
                bytes.extend_from_slice(head);
                bytes.extend_from_slice(tail);
                self.0 = Arc::new(bytes);
            }
        }
    }
}

/// The part of an original that is added as room.
const ROOM: usize = 32;

impl Deref for Original {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Original {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Sums of hashes of the nodes and conditions of an object's endpoints, in their order. The hashes
/// have a secret seed, and the sums 128 bits together: equal sums mean the same nodes and
/// conditions in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OrderSums(u64, u64);

impl OrderSums {
    /// Adds the next endpoint.
    #[inline(always)]
    pub(super) fn add(&mut self, hash: u64, bit: u8) {
        let value = hash ^ u64::from(bit).rotate_right(2);
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.1 = (self.1.rotate_left(31).wrapping_add(value)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
}

/// The forms in which an object was emitted under one resourceVersion. An informer that has the
/// object under that version already does not tell all of its handlers when another form of it
/// comes under the same version (B4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmittedForms {
    /// It was not emitted under that version.
    None,
    /// In the form with this digest.
    One(u64),
    /// In several forms, or it is not known in which.
    Any,
}

impl EmittedForms {
    /// The forms of the two together.
    pub(crate) fn and(self, other: EmittedForms) -> EmittedForms {
        match (self, other) {
            (EmittedForms::None, other) | (other, EmittedForms::None) => other,
            (EmittedForms::One(own), EmittedForms::One(other)) if own == other => self,
            _ => EmittedForms::Any,
        }
    }

    /// Returns `true` if a client may have the object in another form than this one.
    pub(crate) fn may_differ_from(self, form: SentForm) -> bool {
        match (self, form) {
            (EmittedForms::None, _) | (_, SentForm::Absent) => false,
            (EmittedForms::One(own), SentForm::Present(digest)) => own != digest,
            (EmittedForms::Any, SentForm::Present(_)) => true,
        }
    }
}

/// Whether an object is counted in its group of siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    No,
    /// It stands in its group's list of objects to count.
    Later,
    As(UsableSteps),
}

impl ObjectState {
    pub(super) fn new(given: bool) -> ObjectState {
        ObjectState {
            service: None,
            places: Vec::new(),
            order: None,
            conditions: 0,
            family: 0,
            view_kind: ViewKind::Whole,
            version: Version::default(),
            stamp: Version::default(),
            synthetic: false,
            sent: None,
            given,
            under_own_version: EmittedForms::None,
            counted: Counted::No,
            original: None,
        }
    }

    /// In which forms its client may have it under `version`.
    pub(super) fn forms_under(&self, version: Version) -> EmittedForms {
        if self.version == version {
            self.under_own_version
        } else if version.is_before(self.version) {
            // It was so once, and what was emitted then is not remembered.
            EmittedForms::Any
        } else {
            EmittedForms::None
        }
    }

    /// Upstream has it at `version`.
    pub(super) fn seen_at(&mut self, version: Version) {
        if self.version != version {
            self.version = version;
            self.under_own_version = EmittedForms::None;
        }
    }

    /// Returns the form that a client has whose watch begins at `start`, if it is known.
    ///
    /// Events arrive in order, so that a client at `start` has every event before the event of that
    /// version. A refresh at `start` followed that event, and newer events did not arrive whole.
    pub(super) fn known_at(&self, start: Version) -> Option<SentForm> {
        let arrived =
            self.version.is_covered_by(start) && (!self.synthetic || self.stamp.is_before(start));
        self.sent.filter(|_| arrived)
    }

    /// The client's copy is unknown from now on.
    pub(crate) fn invalidate_copy(&mut self) {
        self.sent = Some(SentForm::Absent).filter(|&none| !self.given && self.sent == Some(none));
        self.stamp = Version::default();
    }

    /// Whether the client has it.
    pub(crate) fn has(&self) -> CopyState {
        match self.sent {
            Some(SentForm::Present(_)) => CopyState::Present,
            Some(SentForm::Absent) => CopyState::Absent,
            None => CopyState::Unknown,
        }
    }

    /// Records that the client has this form from now on.
    pub(crate) fn emitted(&mut self, form: SentForm, stamp: Version, synthetic: bool) {
        self.given |= form != SentForm::Absent;
        if let SentForm::Present(digest) = form
            && (stamp == self.version || stamp == Version::default())
        {
            self.under_own_version = self.under_own_version.and(EmittedForms::One(digest));
        }
        (self.sent, self.stamp, self.synthetic) = (Some(form), stamp, synthetic);
    }
}

/// The node that an endpoint is on, and its condition in the lowest two bits: there is one for each
/// endpoint of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    pub(super) fn new(node: u32, conditions: u8) -> Place {
        Place(node << 2 | u32::from(conditions))
    }

    pub(super) fn node(self) -> u32 {
        self.0 >> 2
    }

    pub(super) fn conditions(self) -> u8 {
        self.0 as u8 & (READY | TERMINATING)
    }
}

pub(super) const READY: u8 = 1;
pub(super) const TERMINATING: u8 = 2;

pub(super) fn bit(condition: Condition) -> u8 {
    match condition {
        Condition::Ready => READY,
        Condition::Terminating => TERMINATING,
        Condition::Unusable => 0,
    }
}
