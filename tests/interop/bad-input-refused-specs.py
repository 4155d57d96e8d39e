# SPDX-License-Identifier: LGPL-2.1-or-later
# bad-input-refused-specs.py - words that name no graph: unknown drivers and keys, broken JSON,
# windows that do not fit, names that stand twice. The message says which word is wrong.
import json

from bad_input import Workspace, check_refused, eight_clusters, main, write


def check_json(work, tree, *patterns):
    check_refused(work, ["json:" + (tree if isinstance(tree, str) else json.dumps(tree))],
                  *patterns)


def check_words(work, file):
    check_json(work, {"driver": "vmdk", "file": file}, "vmdk", "qcow2")
    check_json(work, {"driver": "qcow2", "file": file, "colour": "red"}, "colour")
    check_json(work, {"driver": "qcow2", "file": dict(file, colour="red")}, "colour")
    check_json(work, {"driver": "raw", "backing": file, "file": file}, "backing")
    check_json(work, {"driver": "qcow2"}, "file")
    check_json(work, {"driver": "file"}, "filename")
    check_json(work, {"driver": "qcow2", "file": 7}, "file")
    check_json(work, '{"driver": "qcow2",', "JSON|json")
    check_json(work, "[]", "JSON|json|object")
    check_json(work, '{"driver":' * 2000, "JSON|json|deep|nest")
    check_refused(work, ["--image-opts", "driver=qcow2,file.nothing=x"], "nothing")
    check_refused(work, ["--image-opts", "colour"], "colour")
    check_refused(work, ["--format", "vmdk", file["filename"]], "vmdk")


def check_windows(work, file):
    image = {"driver": "qcow2", "file": file}
    check_json(work, {"driver": "raw", "offset": 1 << 30, "file": image}, "offset")
    check_json(work, {"driver": "raw", "size": 1 << 30, "file": image}, "size")
    check_json(work, {"driver": "raw", "offset": 1 << 59, "size": 1 << 59, "file": image}, "offset")
    check_refused(work, ["--image-opts", f"driver=raw,offset=512,size={(1 << 64) - 512},"
                         f"file.driver=qcow2,file.file.filename={file['filename']}"], "size|offset")
    check_json(work, {"driver": "raw", "offset": -1, "file": image}, "offset")
    check_json(work, {"driver": "raw", "offset": "many", "file": image}, "offset", "many")


def check_names(work, file):
    twice = dict(file, **{"node-name": "same"})
    check_json(work, {"driver": "qcow2", "node-name": "same", "file": twice}, "same")
    check_json(work, {"driver": "qcow2", "node-name": "a@b", "file": file}, "a@b")
    check_json(work, {"driver": "qcow2", "node-name": "n" * 300, "file": file}, "name")


def test():
    with Workspace() as work:
        path = write(work.path("image.qcow2"), eight_clusters()[1].blob)
        file = {"driver": "file", "filename": path}
        check_words(work, file)
        check_windows(work, file)
        check_names(work, file)


main(test)
