#include "provider/package.hpp"
