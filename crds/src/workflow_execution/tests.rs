mod objects;
mod schema;
