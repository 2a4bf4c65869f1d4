//! Client states as bytes, for the process that continues the streams of this one.
//!
//! A table holds each name once, and objects have its place in the table. Indexes, groups of
//! siblings and the generation of facts are left out: the next process computes its own.

use bytes::Bytes;

use super::entry::{Counted, EmittedForms, ObjectState, Place, READY, SentForm, TERMINATING};
use super::{ClientState, Digests, FAMILIES};
use crate::hash::HashMap;
use crate::object::version::Version;
use crate::topology::verdict::ViewKind;

/// A client state.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SavedState {
    #[prost(uint64, optional, tag = "1")]
    floor: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    high: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    repeated_at: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    recent_at: Option<u64>,
    #[prost(bool, tag = "5")]
    is_merged: bool,
    #[prost(bool, tag = "6")]
    began_in_doubt: bool,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    services: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    nodes: Vec<Bytes>,
    #[prost(message, repeated, tag = "9")]
    objects: Vec<SavedObject>,
    #[prost(bytes = "bytes", repeated, tag = "10")]
    gone: Vec<Bytes>,
}

/// The state of one object.
#[derive(Clone, PartialEq, prost::Message)]
struct SavedObject {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    /// The place of its Service in the table.
    #[prost(uint32, optional, tag = "2")]
    service: Option<u32>,
    /// The place of each endpoint's node in the table, and its condition in the lowest two bits.
    #[prost(uint32, repeated, tag = "3")]
    places: Vec<u32>,
    #[prost(uint32, tag = "4")]
    conditions: u32,
    #[prost(uint32, tag = "5")]
    family: u32,
    #[prost(uint32, tag = "6")]
    view_kind: u32,
    #[prost(uint64, optional, tag = "7")]
    version: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    stamp: Option<u64>,
    /// Neither this nor `sent`: the form is not known.
    #[prost(bool, tag = "9")]
    is_absent: bool,
    #[prost(fixed64, optional, tag = "10")]
    sent: Option<u64>,
    /// Neither this nor `under_version`: it was not emitted under its version.
    #[prost(bool, tag = "11")]
    is_any_under_version: bool,
    #[prost(fixed64, optional, tag = "12")]
    under_version: Option<u64>,
    #[prost(bool, tag = "13")]
    synthetic: bool,
    #[prost(bool, tag = "14")]
    given: bool,
    #[prost(bool, tag = "15")]
    pending: bool,
    #[prost(bool, tag = "16")]
    repeat: bool,
    #[prost(bool, tag = "17")]
    recent: bool,
    #[prost(bytes = "bytes", optional, tag = "18")]
    original: Option<Bytes>,
}

/// The view kinds that [`number`] has numbers for.
const VIEW_KINDS: [ViewKind; 7] = [
    ViewKind::Whole,
    ViewKind::Nothing,
    ViewKind::Node,
    ViewKind::Pool,
    ViewKind::PoolAndOwn,
    ViewKind::Pools,
    ViewKind::Forwarded,
];

/// Returns the number of a view kind in the saved form.
fn number(kind: ViewKind) -> u32 {
    match kind {
        ViewKind::Whole => 0,
        ViewKind::Nothing => 1,
        ViewKind::Node => 2,
        ViewKind::Pool => 3,
        ViewKind::PoolAndOwn => 4,
        ViewKind::Pools => 5,
        ViewKind::Forwarded => 6,
    }
}

/// Collects names, each once.
#[derive(Default)]
struct Table {
    places: HashMap<u32, u32>,
    names: Vec<Bytes>,
}

impl Table {
    /// Returns the place of the name with that number.
    fn place<'a>(&mut self, number: u32, name: impl FnOnce() -> &'a [u8]) -> u32 {
        *self.places.entry(number).or_insert_with(|| {
            self.names.push(Bytes::copy_from_slice(name()));
            self.names.len() as u32 - 1
        })
    }
}

impl ClientState {
    /// Returns what a process that continues has to know.
    pub(super) fn save(&self) -> SavedState {
        let (mut services, mut nodes) = (Table::default(), Table::default());
        let objects = self.names.iter().map(|(name, &id)| {
            let entry = self.entry(id);
            let place = |place: &Place| {
                let number = place.node();
                nodes.place(number, || self.nodes.name(number)) << 2 | u32::from(place.conditions())
            };
            SavedObject {
                name: Bytes::copy_from_slice(name),
                places: entry.places.iter().map(place).collect(),
                service: entry
                    .service
                    .map(|number| services.place(number, || self.services.name(number))),
                conditions: entry.conditions.into(),
                family: entry.family.into(),
                view_kind: number(entry.view_kind),
                version: entry.version.0,
                stamp: entry.stamp.0,
                is_absent: entry.sent == Some(SentForm::Absent),
                sent: match entry.sent {
                    Some(SentForm::Present(digest)) => Some(digest),
                    Some(SentForm::Absent) | None => None,
                },
                is_any_under_version: entry.under_own_version == EmittedForms::Any,
                under_version: match entry.under_own_version {
                    EmittedForms::One(digest) => Some(digest),
                    EmittedForms::None | EmittedForms::Any => None,
                },
                synthetic: entry.synthetic,
                given: entry.given,
                // A requested original is requested again when the object is looked at.
                pending: self.pending.contains(&id) || self.missing.contains(&id),
                repeat: self.repeat.contains(&id),
                recent: self.recent.contains(&id),
                original: entry.original.clone().map(Bytes::from_owner),
            }
        });
        let objects = objects.collect();
        SavedState {
            floor: self.floor.0,
            high: self.high.0,
            repeated_at: self.repeated_at.0,
            recent_at: self.recent_at.0,
            is_merged: self.is_merged,
            began_in_doubt: self.began_in_doubt,
            services: services.names,
            nodes: nodes.names,
            objects,
            gone: self.gone.iter().map(|name| Bytes::copy_from_slice(name)).collect(),
        }
    }

    /// Returns the saved client state. It has looked at no facts: all of its objects are compared
    /// with those of this process. `None` if the state contradicts itself.
    pub(super) fn from_saved(
        saved: SavedState,
        digests: Digests,
        topology_fallback: bool,
    ) -> Option<ClientState> {
        let mut state = ClientState::new(digests, 0, topology_fallback);
        (state.floor, state.high) = (Version(saved.floor), Version(saved.high));
        state.repeated_at = Version(saved.repeated_at);
        state.recent_at = Version(saved.recent_at);
        (state.is_merged, state.began_in_doubt) = (saved.is_merged, saved.began_in_doubt);
        for object in saved.objects {
            state.restore_object(object, &saved.services, &saved.nodes)?;
        }
        state.gone = saved.gone.iter().map(|name| Box::from(&**name)).collect();
        state.bound_gone();
        Some(state)
    }

    fn restore_object(
        &mut self,
        saved: SavedObject,
        services: &[Bytes],
        nodes: &[Bytes],
    ) -> Option<()> {
        let at = |table: &[Bytes], place: u32| table.get(usize::try_from(place).ok()?).cloned();
        let family = u8::try_from(saved.family).ok().filter(|family| FAMILIES.contains(family))?;
        let conditions = u8::try_from(saved.conditions).ok()?;
        let view_kind = VIEW_KINDS.into_iter().find(|kind| number(*kind) == saved.view_kind)?;
        let service = match saved.service {
            None => None,
            Some(place) => Some(at(services, place).filter(|name| !name.is_empty())?),
        };
        let places: Option<Vec<(Bytes, u8)>> = saved
            .places
            .iter()
            .map(|place| Some((at(nodes, place >> 2)?, *place as u8 & (READY | TERMINATING))))
            .collect();
        let places = places?;
        if self.find(&saved.name).is_some() || conditions & !(READY | TERMINATING) != 0 {
            return None;
        }
        let id = self.add(&saved.name);
        let service = service.map(|name| {
            let number = self.services.intern(&name);
            self.services.link(number, id);
            number
        });
        let places: Vec<Place> = places
            .into_iter()
            .map(|(node, conditions)| Place::new(self.nodes.intern(&node), conditions))
            .collect();
        self.place(id, &places);
        if let Some(original) = &saved.original {
            self.keep(id, Some((b"", original)));
        }
        let entry = self.entry_mut(id);
        let (places, original) =
            (std::mem::take(&mut entry.places), std::mem::take(&mut entry.original));
        *entry = ObjectState {
            service,
            places,
            order: None,
            conditions,
            family,
            view_kind,
            version: Version(saved.version),
            stamp: Version(saved.stamp),
            synthetic: saved.synthetic,
            sent: match (saved.is_absent, saved.sent) {
                (true, _) => Some(SentForm::Absent),
                (false, digest) => digest.map(SentForm::Present),
            },
            given: saved.given,
            under_own_version: match (saved.is_any_under_version, saved.under_version) {
                (true, _) => EmittedForms::Any,
                (false, digest) => digest.map_or(EmittedForms::None, EmittedForms::One),
            },
            counted: Counted::No,
            original,
        };
        for (set, is_in) in [
            (&mut self.pending, saved.pending),
            (&mut self.repeat, saved.repeat),
            (&mut self.recent, saved.recent),
        ] {
            if is_in {
                set.insert(id);
            }
        }
        Some(())
    }
}

impl SavedState {
    /// Lets the originals go that nothing is to be emitted from.
    pub(super) fn keep_what_is_due(&mut self) {
        for object in self.objects.iter_mut().filter(|object| !object.pending && !object.repeat) {
            object.original = None;
        }
    }
}
