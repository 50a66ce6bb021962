//! A dump as JSON.

use std::panic::Location;
use std::sync::Arc;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::{Dump, ObjectDump, Place, WaitsFor};
use crate::base::instant::Instant;

impl Dump {
    /// The dump as JSON. Moments are nanoseconds since the start of the loop's clock.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// let json = loopwheel::dump().to_json();
    /// assert!(json.contains(r#""name":"main","spawned_at":"#));
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// There is none.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it has no map whose keys are not text")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
pub(super) fn instant<S: Serializer>(moment: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(moment.as_nanos())
}

#[allow(clippy::ref_option)] // serde passes references
pub(super) fn maybe_instant<S: Serializer>(
    moment: &Option<Instant>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    moment.map(Instant::as_nanos).serialize(serializer)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
pub(super) fn location<S: Serializer>(
    location: &&'static Location<'static>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(location)
}

#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)] // serde passes references
pub(super) fn maybe_location<S: Serializer>(
    location: &Option<Place>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    location.map(ToString::to_string).serialize(serializer)
}

pub(super) fn objects<S: Serializer>(
    objects: &[Arc<ObjectDump>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(objects.len()))?;
    objects.iter().try_for_each(|object| sequence.serialize_element(&**object))?;
    sequence.end()
}

/// A map with the kind, what it refers to, and the text. An object is referred to by its kind and number.
impl Serialize for WaitsFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            WaitsFor::Task(task) => {
                map.serialize_entry("kind", "task")?;
                map.serialize_entry("task", task)?;
            }
            WaitsFor::TaskElsewhere { task, .. } => {
                map.serialize_entry("kind", "task_elsewhere")?;
                map.serialize_entry("task", task)?;
            }
            WaitsFor::Object { part, object } => {
                map.serialize_entry("kind", object.kind)?;
                map.serialize_entry("part", part)?;
                map.serialize_entry("object", &object.number)?;
                map.serialize_entry("name", &object.name)?;
            }
            WaitsFor::Sleep(when) => {
                map.serialize_entry("kind", "sleep")?;
                map.serialize_entry("until_ns", &when.as_nanos())?;
            }
            WaitsFor::Limit(when) => {
                map.serialize_entry("kind", "limit")?;
                map.serialize_entry("until_ns", &when.as_nanos())?;
            }
            WaitsFor::Thread(began_at) => {
                map.serialize_entry("kind", "thread")?;
                map.serialize_entry("began_at", &began_at.to_string())?;
            }
            WaitsFor::ForeignCode => map.serialize_entry("kind", "foreign_code")?,
            WaitsFor::Nothing => map.serialize_entry("kind", "nothing")?,
        }
        map.serialize_entry("text", &self.to_string())?;
        map.end()
    }
}
