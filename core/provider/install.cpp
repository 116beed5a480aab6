#include "provider/install.hpp"
