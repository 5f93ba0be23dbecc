"""Virtual machines: images, QEMU, the guest's channel, snapshots, and who may run what.

  architecture what differs between x86_64 and aarch64
  build        program sources to one bootable image (bake); image: what QEMU's loader makes of it
  images       what an image is; image_manifest: what is signed of one; image_store: those that are
               here, within a quota; verified: files that were hashed and are unchanged
  accelerator  which accelerator really works here, found by booting a probe (probe)
  abi          constants twin of guest_lib/include/radics_abi.h
  cobs         byte stuffing; frames: the channel's frames as typed values; body: one taken apart
  outputs      what guests put out; threads: what they tell of their threads
  channel      sans-IO: numbering, hellos, going back, of one guest's channel; streams: the
               messages down, their windows; questions: park and stage; faults: what is wrong
               with what it sends; events: what it reports
  lock         one lock a VM, held by its QEMU; process: that QEMU, by pidfd; throttle: no more than
               its share of a processor; cgroup: the same where there are control groups; usage:
               what the kernel says of it
  pipes        the line to a guest
  qemu         its command line, files and rights; qmp: its control socket
  adoption     finding a QEMU that outlived its node, ending one for certain
  machine      the Trio shell: one running guest, until its end (ends); talk: what is asked of it
               and heard from it; conversation: that over its pipes
  launch       how one comes to run here, or is adopted; waiting: in a QEMU that was up before;
               entry: where that begins
  ram          a guest's memory as QEMU's file: which pages count, laying them down
  pages        the pages of all VMs of a node, each once; pagepack: some, compressed together;
               packfile: packs on disk; packindex: which pages are where; pagereader:
               read back; holds: who needs which
  manifest     what names a parked VM's state, signed; stored: with its pages in the store;
               snapshot: all in one piece; exported: that with the VM's ownership, in a file
  template     what of memory comes from the image, as hashes
  survey       what a snapshot would hold, kept up while the guest runs (changed)
  pagemap      which pages a VM has, as two nodes tell each other; bare: a manifest without them;
               delta: a state as what makes it of an earlier one
  handoff*     sans-IO: at most one live copy, whatever is lost on the way

What flows: Launch -> launch.launch -> Machine; its `events` are the guest's numbered outputs and
stream reports, `deliver` and `acknowledge` go down. park, take, kill make a Snapshot;
prepare and warm_start make a Machine of it, here or anywhere.
"""
