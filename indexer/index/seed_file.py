def seed_at(x):
    raise NotImplementedError
