"""Archives: folders of recordings, with what was computed from each and how.

archive.json                    version, default options
recordings/ID/manifest.json     what was made from what: `manifest`
recordings/ID/STAGE-KEY.*       results of stages, never changed; the key names inputs, options and model
recordings/ID/work/             journals and caches: may be deleted
"""
