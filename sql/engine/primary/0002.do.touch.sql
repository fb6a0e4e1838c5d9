-- For a trigger before update, on tables that have the column.
create function readback.touch_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
