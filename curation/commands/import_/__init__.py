"""`curate import`: bring whole collections in, as their makers lay them out on disk; a thin file a data set."""

from __future__ import annotations

import click

from curation.commands.import_.bair import bair
from curation.commands.import_.faceforensics import faceforensics
from curation.commands.import_.folder import folder
from curation.commands.import_.frames import frames
from curation.commands.import_.gaugan import gaugan
from curation.commands.import_.kinetics import kinetics
from curation.commands.import_.mocogan import mocogan
from curation.commands.import_.moving_mnist import moving_mnist
from curation.commands.import_.sky_timelapse import sky_timelapse
from curation.commands.import_.ucf101 import ucf101


@click.group(name="import")
def import_() -> None:
    """Bring whole collections of videos in, as they lie on disk.

    A published data set keeps its official split, class labels and groups of videos cut from one recording; each
    command's own help says where its data is had, its terms, and how it lies on disk. Importing again does nothing
    twice. Videos that lie as files stay where they are; those that lie as frames, arrays, records or strips become
    lossless files in videos/.
    """


import_.add_command(folder)
import_.add_command(frames)
import_.add_command(bair)
import_.add_command(ucf101)
import_.add_command(kinetics)
import_.add_command(faceforensics)
import_.add_command(sky_timelapse)
import_.add_command(moving_mnist)
import_.add_command(mocogan)
import_.add_command(gaugan)
