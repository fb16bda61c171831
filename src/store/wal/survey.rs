//! The first look into the log's directory: which files are there, what their headers say, and in which
//! order they make up the log.

use super::error::OpenError;
use super::format::BLOCK;
use super::header::{FORMAT, HeaderBlock, SegmentHeader};
use super::pool;
use super::segment::{Segment, Spare};
use super::write::{DamagedPlace, LogIdentity};
use crate::ids::ClusterId;
use crate::store::disk::{Disk, File};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What is in the directory.
#[derive(Debug)]
pub(super) struct Survey<F> {
    /// Files with a header that counts, by life. Those older than the log needs are among them.
    pub(super) segments: BTreeMap<u64, Segment<F>>,
    /// Files without one.
    pub(super) spares: Vec<Spare<F>>,
    /// Files whose header cannot be read; they are left alone.
    pub(super) damaged: Vec<DamagedPlace>,
    /// The highest life that any header speaks of.
    pub(super) life_max: u64,
    /// The highest number in a file's name.
    pub(super) file_max: u64,
}

/// Makes the directory if needed and reads all headers.
pub(super) fn survey<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &LogIdentity,
) -> Result<Survey<D::File>, OpenError> {
    let failed = |error| OpenError::Io { path: dir.to_owned(), error };
    disk.create_dir(dir).map_err(failed)?;
    // Names that a killed process left un-synced must not vanish later.
    disk.sync_dir(dir).map_err(failed)?;
    let mut survey = Survey {
        segments: BTreeMap::new(),
        spares: Vec::new(),
        damaged: Vec::new(),
        life_max: 0,
        file_max: 0,
    };
    for name in disk.list(dir).map_err(failed)? {
        let Some(number) = pool::number(&name) else { continue };
        survey.file_max = survey.file_max.max(number);
        let path = dir.join(&name);
        let (file, capacity, block) = read_head(disk, &path).map_err(failed)?;
        let spare = Spare { file, path, capacity };
        match SegmentHeader::decode(&block) {
            HeaderBlock::Valid(header) => {
                check_identity(&spare.path, &header.identity, identity)?;
                survey.life_max = survey.life_max.max(header.life);
                if header.live {
                    survey.segments.insert(header.life, Segment::begin(spare, header));
                } else {
                    survey.spares.push(spare);
                }
            }
            HeaderBlock::Unused => survey.spares.push(spare),
            HeaderBlock::OtherFormat(found) => {
                return Err(OpenError::OtherFormat { path: spare.path, found, known: FORMAT });
            }
            HeaderBlock::Damaged => {
                let what = "the segment's header does not check";
                survey.damaged.push(DamagedPlace { segment: name, offset: 0, what });
            }
        }
    }
    Ok(survey)
}

fn read_head<D: Disk>(disk: &D, path: &Path) -> io::Result<(D::File, u64, Vec<u8>)> {
    let file = disk.open(path)?;
    let capacity = file.length()? / BLOCK * BLOCK;
    let mut block = vec![0; 1024];
    let read = file.read_at(&mut block, 0)?;
    block.truncate(read);
    Ok((file, capacity, block))
}

/// Refuses what somebody else wrote. A cluster that one side does not know yet is no contradiction: the
/// process may have died between writing it here and there.
pub(super) fn check_identity(
    path: &Path,
    found: &LogIdentity,
    wanted: &LogIdentity,
) -> Result<(), OpenError> {
    let none = ClusterId::default();
    let same_cluster =
        found.cluster == wanted.cluster || found.cluster == none || wanted.cluster == none;
    if (found.node, found.incarnation) == (wanted.node, wanted.incarnation) && same_cluster {
        return Ok(());
    }
    let name = |id: &LogIdentity| {
        format!("node {} (disk {:016x}) of cluster {}", id.node.0, id.incarnation.0, id.cluster)
    };
    Err(OpenError::OtherIdentity {
        path: PathBuf::from(path),
        found: name(found),
        wanted: name(wanted),
    })
}
