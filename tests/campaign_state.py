"""A campaign that was interrupted goes on where it stopped: what it has done so far is kept in build/campaigns/NAME.json after each part, and --resume reads it."""
import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class State:
    def __init__(self, name, resume, **fresh):
        self.file = os.path.join(ROOT, 'build', 'campaigns', name + '.json')
        self.data = dict(fresh)
        if resume and os.path.exists(self.file):
            with open(self.file, encoding='utf-8') as f:
                self.data.update(json.load(f))

    def __getitem__(self, key):
        return self.data[key]

    def __setitem__(self, key, value):
        self.data[key] = value

    def save(self):
        os.makedirs(os.path.dirname(self.file), exist_ok=True)
        with open(self.file + '.new', 'w', encoding='utf-8') as f:
            json.dump(self.data, f, indent=1)
        os.replace(self.file + '.new', self.file)
